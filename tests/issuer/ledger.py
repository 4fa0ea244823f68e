"""Two logs for the authority: one in memory, over the slow reference tree, that fails on demand; and the real one."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from exequatur_cli.wiring import AuthorityLog
from exequatur_issuer.log import LogUnavailableError, Placed, Refusal, Registered, Standing
from exequatur_log import genesis
from exequatur_log.blocking import BlockingLog
from exequatur_log.head import LogKeys
from exequatur_log.publish.preparation import checkpoint_of
from exequatur_log.settings import Settings
from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.records import Kind, Link, Status
from tests.support import reference, world

AUTHORITY = "urn:exequatur:authority:test"
REQUESTER = "urn:exequatur:requester:test"
OWNER = "urn:exequatur:owner:test"
APPROVERS = ("approver", "second", "third")
ACTIONS = ("process.exec", "mcp.tool", "exequatur.grant")


def name_of(approver: str) -> str:
    """Return the name under which the key of an approver is enrolled."""
    return f"urn:exequatur:approver:{approver}"


class MemoryLog:
    """A log in memory. It registers what parses and links to what it holds, unless told to refuse the kind."""

    def __init__(self, now: int = world.NOW) -> None:
        self.tree = world.new_log()
        self.now = now
        self.ids: dict[bytes, int] = {sha256(entry).digest(): index for index, entry in enumerate(self.tree.entries)}
        self.frozen: dict[int, bytes] = {}
        self.sent: list[list[bytes]] = []
        self.refuse: dict[Kind, Refusal] = {}
        # How many more batches are answered, and whether the batch after them is committed although no answer comes.
        self.answers: int | None = None
        self.loses_answer = False
        # Whether it says of everything it holds that it holds it otherwise.
        self.contrary = False

    @property
    def origin(self) -> str:
        return self.tree.origin

    def register(self, statements: Sequence[bytes]) -> Sequence[Registered | Standing | Refusal]:
        lost = False
        if self.answers is not None:
            if self.answers == 0:
                if not self.loses_answer:
                    raise LogUnavailableError("the log is away")
                lost = True
            else:
                self.answers -= 1
        self.sent.append(list(statements))
        places = [self._append(entry) for entry in statements]
        for index in places:
            if isinstance(index, int) and index not in self.frozen:
                self.frozen[index] = self.tree.receipt(index, self.now)
        if lost:
            raise LogUnavailableError("the log has committed, and the answer is lost")
        return [Registered(place, self.frozen[place]) if isinstance(place, int) else place for place in places]

    def _append(self, entry: bytes) -> int | Standing | Refusal:
        parsed = statement.parse(entry)
        if parsed.kind in self.refuse:
            return self.refuse[parsed.kind]
        if parsed.id in self.ids:
            index = self.ids[parsed.id]
            return Standing(index) if self.contrary or self.tree.entries[index] != entry else index
        if any(link.id not in self.ids for link in parsed.record.links):
            return Refusal("LINK_MISSING", "a linked record is not in this log")
        if isinstance(parsed.record, Status):
            newest = self.newest(Kind.STATUS, subject=parsed.claims.sub)
            follows = [Link("previous", statement.parse(item.statement).id) for item in newest]
            if list(parsed.record.links) != follows:
                return Refusal("STATUS_INVALID", "not the next version of its list")
        self.ids[parsed.id] = self.tree.append(entry)
        return self.ids[parsed.id]

    def entry(self, index: int) -> bytes:
        return self.tree.entries[index]

    def find(self, record_id: bytes) -> int | None:
        return self.ids.get(record_id)

    def receipt(self, index: int) -> bytes:
        return self.tree.receipt(index, self.now)

    def newest(
        self, kind: Kind, *, subject: str | None = None, key_id: bytes | None = None, most: int = 1
    ) -> Sequence[Placed]:
        found = [
            Placed(item.entry, self.ids[item.id])
            for item in reversed(self.statements())
            if item.kind is kind and subject in (None, item.claims.sub) and key_id in (None, item.key_id)
        ]
        return found[:most]

    def inclusion_paths(self, indices: Sequence[int], size: int) -> Sequence[Sequence[bytes]]:
        return [self.tree.position(index, size).path for index in indices]

    def consistency_paths(self, older: Sequence[int], size: int) -> Sequence[Sequence[bytes]]:
        return [reference.consistency_path(item, self.tree.entries[:size]) for item in older]

    def checkpoint(self, size: int) -> bytes | None:
        return self.tree.checkpoint(size=size)

    def statements(self) -> list[statement.Statement]:
        """Return every entry that is a statement, in order."""
        return [_parsed(self.tree.entries[index]) for index in self.ids.values() if index >= 3]


# Every query of the log in memory goes through all of it.
_parsed = cache(statement.parse)


class RealLog(AuthorityLog):
    """The product's log in a file, as the command line wires it to the authority; its clock stands at ``now``."""

    def __init__(self, path: Path, now: int = world.NOW) -> None:
        self.receipt_signer = world.signer("log receipts")
        checkpoints = world.signer("log checkpoints", Algorithm.ED25519)
        keys = LogKeys(self.receipt_signer, checkpoints, "https://log.example", world.ORIGIN)
        self.keys = keys
        self.operator = world.signer("operator")
        first = genesis.sign_genesis(self.operator, keys, now=now, unique=bytes(16))
        self.log = BlockingLog.create(path, first, keys, clock=lambda: now)
        folder = path.parent
        super().__init__(
            self.log,
            lambda size: self.log.run(lambda log: checkpoint_of(log, size, Settings(), folder, lambda: now)),
        )
        enrolled: list[tuple[str, PublicKey, tuple[Kind, ...]]] = [
            (
                AUTHORITY,
                world.signer("authority").public_key,
                (Kind.DECISION, Kind.AUTHORIZATION, Kind.STATUS, Kind.ENFORCEMENT),
            ),
            (REQUESTER, world.signer("requester").public_key, (Kind.REQUEST,)),
            (OWNER, world.signer("owner").public_key, (Kind.POLICY,)),
            *((name_of(name), world.signer(name).public_key, (Kind.APPROVAL,)) for name in APPROVERS),
        ]
        self.register([self._enrolment(iss, key, kinds, now) for iss, key, kinds in enrolled])

    def _enrolment(self, iss: str, key: PublicKey, kinds: tuple[Kind, ...], now: int) -> bytes:
        unique = sha256(iss.encode()).digest()[:16]
        return genesis.sign_enrolment(
            self.operator,
            key,
            iss=iss,
            enroller=self.keys.iss,
            kinds=kinds,
            now=now,
            unique=unique,
            actions=ACTIONS,
        )

    def close(self) -> None:
        self.log.close()

    def statements(self) -> list[statement.Statement]:
        """Return every entry in order."""
        return [statement.parse(entry.statement) for entry in self.log.entries()]
