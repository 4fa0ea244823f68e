"""Witness policies as C2SP tlog-policy files: logs, witnesses, nested groups of them, and the quorum (specs/11 §1).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<k> <name>...
    quorum <name>|none

Items are separated by spaces and tabs. A line that is empty or begins with ``#`` says nothing. A name is known only
below the line that gives it, so groups cannot be circular, and it is a member once at most, so no witness counts twice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from exequatur_verifier import note
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.note import NoteKey, SignatureType
from exequatur_verifier.trust import Group

MAX_BYTES: Final = 1 << 20
MAX_LINES: Final = 256  # of each kind; C2SP asks for 32 at least
_FORBIDDEN: Final = bytes((set(range(0x20)) - {0x09, 0x0A}) | {0x7F})
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")
_COSIGNING: Final = (SignatureType.COSIGNATURE, SignatureType.COSIGNATURE_ML_DSA_44)


class Party(NamedTuple):
    """A log or a witness: its key, and where it is reached, if the policy says so."""

    key: NoteKey
    url: str | None = None


class WitnessPolicy(NamedTuple):
    """Which logs, which witnesses by their names in the file, and how many of them must cosign.

    ``quorum`` is ``None`` where no cosignature is asked for. The names of groups are not kept.
    """

    logs: tuple[Party, ...]
    witnesses: Mapping[str, Party]
    quorum: Group | None

    @property
    def log_keys(self) -> tuple[NoteKey, ...]:
        """The keys that a checkpoint may be signed with."""
        return tuple(log.key for log in self.logs)

    def is_quorum(self, keys: Iterable[NoteKey]) -> bool:
        """Say whether cosignatures by ``keys`` satisfy the quorum; always so where none is asked for."""
        return self.quorum is None or self.quorum.is_met(frozenset(keys))


def parse(data: bytes) -> WitnessPolicy:
    """Return the policy that a file holds; raise ``MalformedError`` that names the line."""
    if len(data) > MAX_BYTES or len(data.translate(None, _FORBIDDEN)) != len(data):
        raise MalformedError(f"a witness policy is text of at most {MAX_BYTES} bytes, tabs its only control characters")
    if not data.endswith(b"\n"):
        raise MalformedError("the last line of the witness policy is cut off; end it with a newline")
    reader = _Reader()
    # Names are octets (tlog-policy); what is not UTF-8 in them survives the way there and back.
    for number, line in enumerate(data.decode(errors="surrogateescape")[:-1].split("\n"), start=1):
        items = line.replace("\t", " ").split(" ")
        try:
            reader.take([item for item in items if item])
        except MalformedError as error:
            raise MalformedError(f"line {number} of the witness policy: {error}") from None
    return reader.finish()


def format(policy: WitnessPolicy) -> bytes:
    """Return a file that ``parse`` reads as this policy; groups get names of their own."""
    names = {party.key: name for name, party in policy.witnesses.items()}
    lines = [" ".join(("log", *_spelled(log))) for log in policy.logs]
    lines += [" ".join(("witness", name, *_spelled(party))) for name, party in policy.witnesses.items()]
    if policy.quorum is None:
        lines.append("quorum none")
    else:
        unused = (name for number in range(1 << 62) if (name := f"group-{number}") not in policy.witnesses)
        lines.append(f"quorum {_define(policy.quorum, names, unused, lines)}")
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


class _Reader:
    """What was read so far, line by line."""

    def __init__(self) -> None:
        self._logs: list[Party] = []
        self._witnesses: dict[str, Party] = {}
        self._known: dict[str, NoteKey | Group] = {}
        self._members: set[str] = set()
        self._quorums: list[Group | None] = []

    def take(self, items: list[str]) -> None:
        """Take in one line; raise ``MalformedError``."""
        match items:
            case []:
                pass
            case [first, *_] if first.startswith("#"):
                pass
            case ["log", vkey, *url] if len(url) < 2:
                self._add_log(_party(vkey, url))
            case ["witness", name, vkey, *url] if len(url) < 2:
                self._add_witness(name, _party(vkey, url))
            case ["group", name, threshold, *members]:
                self._add_group(name, threshold, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case [word, *_]:
                raise MalformedError(f"{word!r} begins no line of this form")

    def finish(self) -> WitnessPolicy:
        """Return the whole; raise ``MalformedError`` if there is no quorum."""
        if len(self._quorums) != 1:
            raise MalformedError("a witness policy has exactly one quorum line; `quorum none` asks for no witness")
        return WitnessPolicy(tuple(self._logs), self._witnesses, self._quorums[0])

    def _add_log(self, log: Party) -> None:
        if log.key.type is not SignatureType.ED25519:
            raise MalformedError("a log signs checkpoints with an Ed25519 key of type 0x01")
        if any(log.key.public_key == other.key.public_key for other in self._logs):
            raise MalformedError("this log's public key stands above already")
        _limit(len(self._logs))
        self._logs.append(log)

    def _add_witness(self, name: str, witness: Party) -> None:
        if witness.key.type not in _COSIGNING:
            raise MalformedError("a witness has a key for cosignatures, of type 0x04 or 0x06")
        if any(witness.key.public_key == other.key.public_key for other in self._witnesses.values()):
            raise MalformedError("this witness's public key stands above already")
        self._name(name)
        _limit(len(self._witnesses))
        self._witnesses[name] = witness
        self._known[name] = witness.key

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        self._name(name)
        for member in members:
            if member not in self._known or member in self._members:
                raise MalformedError(f"{member!r} is not named above, or is a member already")
            self._members.add(member)
        most = len(members)
        if threshold in ("all", "any"):
            least = most if threshold == "all" else 1
        else:
            least = int(threshold) if _COUNT.fullmatch(threshold) else 0
        if not 1 <= least <= most:
            raise MalformedError(f"a group asks for all, any, or 1 to {most} of its members, not {threshold!r}")
        _limit(len(self._known) - len(self._witnesses))
        self._known[name] = Group(least, tuple(self._known[member] for member in members))

    def _set_quorum(self, name: str) -> None:
        if self._quorums:
            raise MalformedError("there is a quorum line above already")
        if name == "none":
            self._quorums.append(None)
            return
        if name not in self._known:
            raise MalformedError(f"{name!r} is no witness or group that stands above")
        chosen = self._known[name]
        self._quorums.append(chosen if isinstance(chosen, Group) else Group(1, (chosen,)))

    def _name(self, name: str) -> None:
        if name in self._known or name == "none":
            raise MalformedError(f"the name {name!r} is taken")


def _party(vkey: str, url: list[str]) -> Party:
    return Party(note.parse_key(vkey), _checked_url(url[0]) if url else None)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        sound = False
    if not sound or "?" in url or "#" in url or "@" in parts.netloc:
        raise MalformedError(f"{url!r} is not http:// or https:// with a host and a path, and nothing else")
    return url


def _limit(count: int) -> None:
    if count >= MAX_LINES:
        raise MalformedError(f"more than {MAX_LINES} of one kind")


def _spelled(party: Party) -> Iterator[str]:
    yield note.format_key(party.key)
    if party.url is not None:
        yield party.url


def _define(group: Group, names: Mapping[NoteKey, str], unused: Iterator[str], lines: list[str]) -> str:
    """Write the lines of a group, after those of the groups in it, and return its name."""
    members = [
        _define(member, names, unused, lines) if isinstance(member, Group) else names[member]
        for member in group.members
    ]
    name = next(unused)
    lines.append(" ".join(("group", name, str(group.least), *members)))
    return name
