"""Runtimes of a home: the runtime's own half of it, in the home or in a directory to carry elsewhere.

A runtime's half is its key, its trust policy and its memory, and nothing of the authority's. Its memory begins at the
log's head of the moment, which is its enrolment (specs/07 §2): whoever carries the directory away carries that starting
point.
"""

from collections.abc import Iterable
from pathlib import Path

from exequatur_gate.state import State
from exequatur_issuer.signer import create_key
from exequatur_log import genesis
from exequatur_verifier import note, shape
from exequatur_verifier.memory import KnownHead
from exequatur_verifier.records import Head, Kind
from exequatur_verifier.trust_file import parse as parse_trust

from . import settings
from .files import make_passphrase, write
from .home import ACTIONS, Home, now, unique
from .settings import RuntimeEntry


def enrol(home: Home, name: str, path: Path) -> RuntimeEntry:
    """Make the half of a new runtime in the directory ``path``, enrol its key in the log, and name it in the settings.

    Raises ``ValueError`` for a name that is taken or is no word, ``FileExistsError`` for a directory that exists.
    """
    if name in home.settings.runtimes or not name.isascii() or not name.replace("-", "").isalnum():
        raise ValueError(f"{name!r} is the name of a runtime of this home already, or is no plain word")
    path.mkdir(mode=0o700, parents=True)
    passphrase = make_passphrase(path / "keys")
    key = create_key(path / "keys" / "runtime.pem", passphrase).public_key
    base = home.settings.runtimes["local"].id.removesuffix("/")
    entry = RuntimeEntry(shape.urn(f"{base}:{name}"), key)
    home.log.register(
        genesis.sign_enrolment(
            home.signer("authority"),
            key,
            iss=entry.id,
            enroller=home.settings.authority.iss,
            kinds=(Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT),
            now=now(),
            unique=unique(),
        )
    )
    leeway = parse_trust((home.path / "trust.toml").read_bytes()).leeway
    settle(home, path, entry, leeway)
    changed = home.settings._replace(runtimes={**home.settings.runtimes, name: entry})
    settings.write(home.path / "authority.toml", changed)
    return entry


def settle(home: Home, path: Path, runtime: RuntimeEntry, leeway: int) -> None:
    """Write the trust policy of a runtime of this home, and make its memory, which begins at the log's current head."""
    trust = _trust(home, runtime, leeway).encode()
    write(path / "trust.toml", trust)
    head, origin = home.log.head(), home.log.identity.origin
    digest = parse_trust(trust).digest
    start = KnownHead(origin, head.size, head.root, head.iat, head.protected, head.signature, digest, head.note)
    State.create(str(path / "state.db"), runtime.key.thumbprint, [start]).close()
    # The authority staples proofs from the heads that it believes a runtime to remember, and this is the first of them.
    home.journal.note_heads([(runtime.id, Head(origin, head.size, head.root))])


def _trust(home: Home, runtime: RuntimeEntry, leeway: int) -> str:
    """Return the trust policy of a runtime: the home's log, authority and policy owner."""
    log = home.log.identity

    def spell(role: str) -> str:
        return settings.text_of(home.signer(role).public_key)

    # Retired keys too, newest first: what they signed verifies for ever.
    every = home.log.identities()
    receipt_keys = dict.fromkeys(settings.text_of(key) for one in every for key in one.receipt_keys.values())
    vkeys = dict.fromkeys(note.format_key(key) for one in every for key in one.checkpoint_keys)
    return f"""\
# What this runtime believes (specs/06). Every key stands here; an unknown field is an error.
leeway = {leeway}                       # seconds that clocks may differ

[runtime]
id = "{runtime.id}"
key = "{settings.text_of(runtime.key)}"

[[issuers]]
iss = "{home.settings.authority.iss}"
keys = ["{spell("authority")}"]
actions = [{_quoted(ACTIONS)}]

[[logs]]
iss = "{log.iss}"
origin = "{log.origin}"
genesis = "{log.genesis.hex()}"
receipt_keys = [{_quoted(receipt_keys)}]
checkpoint_vkeys = [{_quoted(vkeys)}]
max_age = 86400                   # seconds that a head may be old

[receipts]
k = 1                             # from how many of the logs above

[policy]
owners = ["{spell("owner")}"]
{_approvers(home)}{_status(home)}"""


def _approvers(home: Home) -> str:
    """Return whose approvals a runtime of this home counts."""
    approver = home.settings.approver
    if approver is None:
        return ""
    key = settings.text_of(home.signer("approver").public_key)
    return f"""
[[approvers]]
iss = "{approver.iss}"
keys = ["{key}"]
actions = [{_quoted(ACTIONS)}]
"""


def _status(home: Home) -> str:
    if home.settings.status is None:
        return ""
    return f"\n[status]\nrequired = [{_quoted(ACTIONS)}]   # artifacts must name a status list\n"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)
