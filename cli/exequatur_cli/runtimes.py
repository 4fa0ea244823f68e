"""Runtimes of a home: the runtime's own half of it, in the home or in a directory to carry elsewhere.

A runtime's half is its key, its trust policy and its memory, and nothing of the authority's. Its memory begins at the
log's head of the moment, which is its enrolment (specs/07 §2): whoever carries the directory away carries that starting
point.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

from exequatur_gate.state import State, StateUnavailableError
from exequatur_issuer.signer import create_key
from exequatur_log import genesis
from exequatur_verifier import note, shape
from exequatur_verifier.errors import ExequaturError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.memory import KnownHead
from exequatur_verifier.records import Head, Kind
from exequatur_verifier.trust import Issuer
from exequatur_verifier.trust_file import parse as parse_trust

from . import settings
from .files import make_passphrase, replace, write
from .home import ACTIONS, Home, now, unique
from .settings import RuntimeEntry
from .trusting import Table, block, with_runtime


class BusyError(ExequaturError):
    """The runtime is not at rest: what is to end first."""


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
    write(path / "trust.toml", _trust(home, runtime, leeway).encode())
    _begin_memory(home, path, runtime)


def check_at_rest(home: Home) -> None:
    """Raise ``BusyError`` unless nothing of the home's runtime runs, and none of its records waits for the log."""
    trusted = parse_trust((home.path / "trust.toml").read_bytes()).runtime.key
    if trusted != home.load_key(home.path / "keys" / "runtime.pem").public_key:
        # A change of the key that was interrupted: nothing has been admitted since.
        return
    with home.gate() as gate:
        waiting = gate.flush().waiting
        with gate.state.transaction() as transaction:
            (running,) = transaction.execute("SELECT count(*) FROM reservations").fetchone()
    if waiting or running:
        raise BusyError(
            f"{running} executions run and {waiting} records wait for the log; wait for both, and try again"
        )


def begin_anew(home: Home, key: PublicKey) -> None:
    """Give the home's own runtime another key, and with it a memory that begins now (specs/07 §2).

    The former memory stays beside it, as ``state.1.db`` and so on. Each step can be repeated.
    """
    path = home.path / "trust.toml"
    text = path.read_text()
    changed = with_runtime(text, key)
    if changed != text:
        replace(path, changed.encode())
    entry = home.settings.runtimes["local"]._replace(key=key)
    runtimes = {**home.settings.runtimes, "local": entry}
    settings.write(home.path / "authority.toml", home.settings._replace(runtimes=runtimes))
    state = home.path / "state.db"
    try:
        State.open(str(state), key.thumbprint).close()
    except StateUnavailableError:
        number = next(n for n in itertools.count(1) if not (home.path / f"state.{n}.db").exists())
        for suffix in ("", "-wal", "-shm"):
            former = state.with_name(f"state.db{suffix}")
            if former.exists():
                former.rename(home.path / f"state.{number}.db{suffix}")
        _begin_memory(home, home.path, entry)


def _begin_memory(home: Home, path: Path, runtime: RuntimeEntry) -> None:
    trust = (path / "trust.toml").read_bytes()
    head, origin = home.log.head(), home.log.identity.origin
    digest = parse_trust(trust).digest
    start = KnownHead(origin, head.size, head.root, head.iat, head.protected, head.signature, digest, head.note)
    State.create(str(path / "state.db"), runtime.key.thumbprint, [start]).close()
    # The authority staples proofs from the heads that it believes a runtime to remember, and this is the first of them.
    home.journal.note_heads([(runtime.id, Head(origin, head.size, head.root))])


def _trust(home: Home, runtime: RuntimeEntry, leeway: int) -> str:
    """Return the trust policy of a runtime: the home's log, authority, approvers and policy owners."""
    log = home.log.identity
    # Retired keys too, newest first: what they signed verifies for ever.
    every = home.log.identities()
    receipt_keys = dict.fromkeys(settings.text_of(key) for one in every for key in one.receipt_keys.values())
    vkeys = dict.fromkeys(note.format_key(key) for one in every for key in one.checkpoint_keys)
    signers, owners = _trusted(home)
    blocks = "\n".join(block(table, one) for table, one in signers)
    return f"""\
# What this runtime believes (specs/06). Every key stands here; an unknown field is an error.
leeway = {leeway}                       # seconds that clocks may differ

[runtime]
id = "{runtime.id}"
key = "{settings.text_of(runtime.key)}"

{blocks}
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
owners = [{_quoted(map(settings.text_of, owners))}]
{_status(home)}"""


def _status(home: Home) -> str:
    if home.settings.status is None:
        return ""
    return f"\n[status]\nrequired = [{_quoted(ACTIONS)}]   # artifacts must name a status list\n"


def _trusted(home: Home) -> tuple[list[tuple[Table, Issuer]], tuple[PublicKey, ...]]:
    """Return the authority's and approvers' keys with their ranges, and the owners: those that the home trusts itself.

    In a home that is being founded they are its own.
    """
    iss = home.settings.authority.iss
    if not (home.path / "trust.toml").exists():
        first: list[tuple[Table, Issuer]] = [("issuers", Issuer(iss, (home.signer("authority").public_key,), ACTIONS))]
        if home.settings.approver is not None:
            approver = Issuer(home.settings.approver.iss, (home.signer("approver").public_key,), ACTIONS)
            first.append(("approvers", approver))
        return first, (home.signer("owner").public_key,)
    own = parse_trust((home.path / "trust.toml").read_bytes())
    named: list[tuple[Table, Issuer]] = [("issuers", one) for one in own.issuers if one.iss == iss]
    named += [("approvers", one) for one in own.approvers]
    return [(table, one._replace(keys=(key,))) for table, one in named for key in one.keys], own.policy.owners


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f'"{text}"' for text in texts)
