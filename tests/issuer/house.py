"""An authority with everything it needs, under the starter policy or another, on a log in memory or a real one."""

import itertools
import uuid
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from exequatur_issuer import policyset, publish
from exequatur_issuer.approvals import sign_approval
from exequatur_issuer.authorize import Asked, Authority, Issued, Refused, RuntimeIdentity
from exequatur_issuer.content import ContentStore
from exequatur_issuer.decide import InForce
from exequatur_issuer.journal import Journal
from exequatur_issuer.log import Registered
from exequatur_issuer.policyset import PolicySet
from exequatur_issuer.request import Disclosure, sign_request
from exequatur_issuer.starter import starter_policy
from exequatur_verifier import note, statement, trust_file
from exequatur_verifier.constraints import Facts
from exequatur_verifier.memory import Clock, Memory
from exequatur_verifier.signing import Signer
from exequatur_verifier.trust import Trust
from exequatur_verifier.verdict import Verdict
from exequatur_verifier.verify import verify
from tests.issuer.ledger import ACTIONS, APPROVERS, AUTHORITY, OWNER, REQUESTER, MemoryLog, RealLog, name_of
from tests.support import world

NOW = world.NOW
SET = "urn:exequatur:policy:test"
RUNTIME = RuntimeIdentity(world.RUNTIME, world.signer("runtime").public_key.encoded)
FACTS: Mapping[str, bytes | str] = world.FACTS.measured


def starter() -> PolicySet:
    files = starter_policy(REQUESTER)
    sources = policyset.join({"starter.cedar": files["starter.cedar"]})
    return PolicySet(sources, files["schema.cedarschema"], mapping=files["mapping.toml"])


def with_rules(text: str) -> PolicySet:
    """Return the starter set with other policies in it."""
    return starter()._replace(sources=policyset.join({"rules.cedar": text.encode()}))


class House:
    """A log, a content store, a journal and a published policy set; ``authority`` answers requests."""

    def __init__(
        self, folder: Path, log: MemoryLog | RealLog, policy_set: PolicySet | None = None, **more: Any
    ) -> None:
        self.log = log
        self.folder = folder
        # What the authority is given beside its stores: ``approvers``, ``modes``.
        self.settings: dict[str, Any] = {}
        self.content = ContentStore(folder / "content")
        self.journal = Journal(folder / "journal.db")
        self.numbers = itertools.count(1)
        self.policies: list[statement.Statement] = []
        self.policy = self.publish(policy_set or starter(), **more)
        self.authority = self.open()

    def publish(self, policy_set: PolicySet, **more: Any) -> InForce:
        """Publish the next epoch of the policy set and load what is in force now."""
        previous = self.policies[-1] if self.policies else None
        data = publish.publish(
            policy_set,
            world.signer("owner"),
            self.content,
            name=SET,
            iss=OWNER,
            previous=previous,
            now=NOW,
            unique=self.unique(),
            **more,
        )
        self.log.register([data])
        self.policies.append(statement.parse(data))
        return publish.load_in_force(self.policies, self.content, SET, NOW)

    def open(self, signer: Signer | None = None, policy: InForce | None = None) -> Authority:
        """Return an authority over the same stores, as another process would."""
        return Authority(
            **self.settings,
            iss=AUTHORITY,
            signer=signer or world.signer("authority"),
            log=self.log,
            content=self.content,
            journal=Journal(self.folder / "journal.db"),
            policy=policy or self.policy,
        )

    def unique(self) -> bytes:
        return sha256(f"unique {next(self.numbers)}".encode()).digest()[:16]

    def asked(
        self,
        descriptor: Mapping[str, Any] = world.COMMAND,
        facts: Mapping[str, bytes | str] = FACTS,
        *,
        claims: Mapping[str, Any] | None = None,
        runtime: RuntimeIdentity = RUNTIME,
        audience: str | None = None,
        now: int = NOW,
        disclosure: Disclosure = "commitment",
        ttl: int | None = None,
        uses: int | None = None,
    ) -> Asked:
        """Return a fresh request for an action, with what opens it."""
        salt = self.unique()
        request = sign_request(
            descriptor,
            world.signer("requester"),
            iss=REQUESTER,
            audience=audience or runtime.id,
            subject=f"urn:uuid:{uuid.UUID(bytes=self.unique())}",
            unique=self.unique(),
            salt=salt,
            now=now,
            claims=claims,
            disclosure=disclosure,
            ttl=ttl,
            uses=uses,
        )
        return Asked(request, salt, descriptor, facts, runtime)

    def approve(self, asked: Asked, by: str = "approver", *, now: int = NOW, ttl: int = 3600, **more: Any) -> bytes:
        """Register an approval of a request, and return its record id."""
        given = {"scope": "once", "uses": 1, "expires": now + ttl, **more}
        approval = sign_approval(
            statement.parse(asked.request),
            world.signer(by),
            iss=name_of(by),
            now=now,
            unique=self.unique(),
            **given,
        )
        (answer,) = self.log.register([approval])
        assert isinstance(answer, Registered), answer
        return statement.parse(approval).id

    def answer(self, asked: Asked, now: int = NOW) -> Issued | Refused:
        return self.authority.authorize_many([asked], now=now)[0]

    def issue(self, asked: Asked, now: int = NOW) -> Issued:
        answer = self.answer(asked, now)
        assert isinstance(answer, Issued), answer
        return answer

    def refuse(self, asked: Asked, now: int = NOW) -> Refused:
        answer = self.answer(asked, now)
        assert isinstance(answer, Refused)
        return answer

    def find(self, record_id: bytes) -> bytes | None:
        """Return a logged statement by its record id."""
        index = self.log.find(record_id)
        return None if index is None else self.log.entry(index)

    def logged(self, subject: str) -> list[statement.Statement]:
        """Return the records of one execution, in the order of the log."""
        return [item for item in self.log.statements() if item.claims.sub == subject]

    def trust(self, extra: str = "") -> Trust:
        """Return the trust policy of the runtime that ``RUNTIME`` names, with more TOML at its end."""
        if isinstance(self.log, RealLog):
            iss, receipts, vkey = self.log.keys.iss, self.log.receipt_signer, self.log.keys.note_key
            first = self.log.log.identity.genesis
        else:
            iss, receipts, vkey = self.log.tree.iss, self.log.tree.receipt_signer, self.log.tree.vkey
            first = bytes(32)
        actions = ", ".join(f'"{name}"' for name in ACTIONS)
        approvers = "\n".join(
            f'[[approvers]]\niss = "{name_of(name)}"\nkeys = ["{world.text_key(world.signer(name))}"]\n'
            f"actions = [{actions}]"
            for name in APPROVERS
        )
        return trust_file.parse(
            f"""leeway = 60
[runtime]
id = "{RUNTIME.id}"
key = "{world.text_key(world.signer("runtime"))}"
[[issuers]]
iss = "{AUTHORITY}"
keys = ["{world.text_key(world.signer("authority"))}"]
actions = [{actions}]
[[logs]]
iss = "{iss}"
origin = "{self.log.origin}"
genesis = "{first.hex()}"
receipt_keys = ["{world.text_key(receipts)}"]
checkpoint_vkeys = ["{note.format_key(vkey)}"]
max_age = 86400
[receipts]
k = 1
[policy]
owners = ["{world.text_key(world.signer("owner"))}"]
{approvers}
{extra}
""".encode()
        )

    def verify(
        self,
        data: bytes,
        descriptor: Mapping[str, Any] = world.COMMAND,
        facts: Facts = world.FACTS,
        memory: Memory | None = None,
        now: int = NOW,
        trust: str = "",
    ) -> Verdict:
        """Return the kernel's verdict on a bundle."""
        return verify(data, descriptor, facts, self.trust(trust), memory, (), Clock(now))
