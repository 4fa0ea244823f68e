"""Intake: parsing statements and checking their signatures, on every core, before any lock is taken.

A key is looked up by the thumbprint and algorithm that the statement names, among all keys that the log's
entries introduced and those that the same batch introduces. Whether that key may sign what it signed is
``registration``'s question; here only the signature is proven. ``cryptography`` releases the interpreter's
lock while it checks one, so threads suffice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, NamedTuple

from exequatur_verifier import merkle
from exequatur_verifier import statement as statements
from exequatur_verifier.errors import MalformedError, NotProvenError, UnsupportedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.statement import Statement

from .entry import NamedKey, load_key, named_key
from .errors import Code, Refused
from .threads import Threads

KeyName = tuple[bytes, int]  # thumbprint, algorithm
FetchKeys = Callable[[set[KeyName]], Awaitable[list[NamedKey]]]

_MAX_KEYS: Final = 4096


class Checked(NamedTuple):
    """A statement whose signature holds, its leaf hash, and the key that it introduces."""

    statement: Statement
    leaf_hash: bytes
    introduces: NamedKey | None


class _Parsed(NamedTuple):
    statement: Statement
    introduces: NamedKey | None


class Intake:
    """The threads, and the keys in use. ``fetch`` returns those of the named keys that committed entries introduced."""

    def __init__(self, fetch: FetchKeys) -> None:
        self._fetch = fetch
        self._threads = Threads()
        self._keys: dict[KeyName, PublicKey] = {}
        self._introduced: dict[KeyName, NamedKey] = {}

    async def check(self, batch: Sequence[bytes]) -> list[Checked | Refused]:
        """Return, for each statement, that it is well formed and signed, or why it is refused."""
        # Parsing holds the interpreter's lock and checking does not. Threads that did both by turns would
        # pass the lock to and fro for every statement, which costs more than either; so first the one, then
        # the other.
        parsed = await self._threads.run(lambda part: [_parse(data, self._keys) for data in part], batch, spread=False)
        await self._resolve(parsed)
        return await self._threads.run(lambda part: [_check(item, self._keys) for item in part], parsed)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()

    async def _resolve(self, parsed: Sequence[_Parsed | Refused]) -> None:
        """Bring the keys that the statements name into use, as far as any entry introduces them.

        Keys that are introduced by what is on its way, and may yet be refused, count too: a thumbprint names
        one key only.
        """
        sound = [item for item in parsed if isinstance(item, _Parsed)]
        wanted = {(item.statement.key_id, item.statement.algorithm) for item in sound}
        for kept in (self._keys, self._introduced):
            if len(kept) > _MAX_KEYS:
                kept.clear()
        for item in sound:
            if item.introduces is not None:
                self._introduced[item.introduces.thumbprint, item.introduces.algorithm] = item.introduces
        wanted -= self._keys.keys()
        near = [self._introduced[name] for name in wanted & self._introduced.keys()]
        distant = wanted - self._introduced.keys()
        for named in (*near, *(await self._fetch(distant) if distant else ())):
            self._keys[named.thumbprint, named.algorithm] = load_key(named)


def _parse(data: bytes, keys: Mapping[KeyName, PublicKey]) -> _Parsed | Refused:
    try:
        statement = statements.parse(data)
        introduces = named_key(statement)
        if introduces is not None:
            known = keys.get((introduces.thumbprint, introduces.algorithm))
            if known is None or known.encoded != introduces.encoded:
                load_key(introduces)
    except UnsupportedError as error:
        return Refused(Code.UNSUPPORTED, f"{error}; this build of the log registers profile version 1")
    except MalformedError as error:
        return Refused(Code.MALFORMED, f"{error}; send a signed statement of specs/02, its unprotected header empty")
    return _Parsed(statement, introduces)


def _check(parsed: _Parsed | Refused, keys: Mapping[KeyName, PublicKey]) -> Checked | Refused:
    if isinstance(parsed, Refused):
        return parsed
    statement = parsed.statement
    key = keys.get((statement.key_id, statement.algorithm))
    if key is None:
        name = statement.key_id.hex()
        return Refused(Code.UNKNOWN_KEY, f"no entry of this log names key {name}; ask its operator to enrol it")
    try:
        statements.verify(statement, key)
    except NotProvenError as error:
        return Refused(Code.SIGNATURE_INVALID, f"{error}; sign the statement again")
    return Checked(statement, merkle.leaf_hash(statement.entry), parsed.introduces)
