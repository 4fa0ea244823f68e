"""Publishing status lists: the next version of one, on top of the newest that the log holds (specs/09 §10).

Nothing is kept here. The log says which version of a list is the newest, and admits only the one that follows it; so of
two who change a list at once one is refused, reads again, and changes what the other has made of it. Each writer then
looks whether what is revoked by name, which the first list of the authority says, has meanwhile changed: whichever of
two wrote last sees the other's, and repeats it.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from exequatur_verifier import receipt, statement
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.records import Kind, StatusEntry
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement

from .log import Log, Placed, Refusal, Registered, Standing
from .status import (
    REVOKED,
    SIZE,
    VALID,
    Listed,
    Names,
    RevocationError,
    assign,
    follow,
    name_of,
    read,
    record_of,
)

# How often a list is read again because others have changed it meanwhile.
_ATTEMPTS: Final = 100
# A list that nobody renewed for a day after it was due is past every leeway: it denies until it is renewed, and then
# says what is revoked by that time.
_LAPSED_S: Final = 86_400
# How long after its last index was given away a list is renewed without being asked for.
_CLOSED_S: Final = 30 * 86_400

Edit = Callable[[Listed], Listed]


class Version(NamedTuple):
    """A version of a status list in the log. ``receipt`` is its own, ``None`` if it stood there before."""

    signed: Statement
    leaf_index: int
    receipt: bytes | None

    @property
    def placed(self) -> Placed:
        """The statement and where it stands."""
        return Placed(self.signed.entry, self.leaf_index)


class StatusLists:
    """The status lists of an authority, in one log. Several processes may publish them; one object serves one thread.

    ``base`` is what the names of the lists begin with; ``period`` is for how many seconds a version is good. Every call
    may raise ``RevocationError``, ``LogUnavailableError``, ``NotProvenError`` and ``OSError`` from the signer.
    """

    def __init__(self, *, base: str, iss: str, signer: Signer, log: Log, period: int) -> None:
        self.base: Final = base
        self.first: Final = name_of(base, 0)
        self._iss = iss
        self._signer = signer
        self._log = log
        self._period = period

    def assign(self, leaf_index: int) -> StatusEntry:
        """Return the list and index of the artifact whose request stands at ``leaf_index``."""
        return assign(self.base, leaf_index)

    def fresh(self, names: Iterable[str], now: int) -> dict[str, Placed]:
        """Return the newest version of each list, after publishing the next one where half its time is over.

        A list of another authority's, which an artifact from elsewhere may name, is given out as it is.
        """
        found: dict[str, Placed] = {}
        for name in dict.fromkeys(names):
            newest = self._newest(name)
            if newest is not None and self._is_foreign(newest):
                found[name] = newest.placed
                continue
            if newest is None or record_of(newest.signed).next_update - now < self._period / 2:
                found[name] = self._renew(name, now).placed
            else:
                found[name] = self._settle(name, newest, now).placed
        return found

    def put(self, entry: StatusEntry, value: int, now: int) -> Version:
        """Publish the status of one index, and return the version that says it.

        What is revoked stays revoked: raises ``RevocationError`` for anything else then.
        """

        def edit(listed: Listed) -> Listed:
            former = listed.values.get(entry.idx, VALID)
            if former == REVOKED and value != REVOKED:
                raise RevocationError(f"index {entry.idx} of {entry.list} is revoked for good; issue a new artifact")
            values = {idx: other for idx, other in listed.values.items() if idx != entry.idx}
            return listed._replace(values=values | ({entry.idx: value} if value != VALID else {}))

        if not self.is_own(entry.list):
            raise RevocationError(f"{entry.list} is not a status list of this authority, whose begin with {self.base}")
        return self._settle(entry.list, self._revise(entry.list, edit, now), now)

    def name(self, names: Names, now: int, *, revoked: bool) -> Version:
        """Publish names as revoked, or no longer so, and return the version of the first list that says it.

        The other lists say it too when this returns, those excepted that have lapsed.
        """

        def edit(listed: Listed) -> Listed:
            named = listed.names.with_(names) if revoked else listed.names.without(names)
            return listed._replace(names=named)

        version = self._revise(self.first, edit, now)
        for name in self.every():
            newest = self._newest(name)
            if newest is not None and record_of(newest.signed).next_update + _LAPSED_S > now:
                self._settle(name, newest, now)
        return version

    def renew(self, now: int) -> list[Version]:
        """Publish the next version of each list that may still be in use, with a later time for the one after it."""
        return [self._renew(name, now) for name in self.in_use(now)]

    def in_use(self, now: int) -> list[str]:
        """Return the names of the lists that may still be in use.

        That is those published whose last index was not given away more than 30 days ago. Another one is renewed when
        an artifact or a bundle asks for it.
        """
        every = self.every()
        used = {self.first, every[-1]}
        for number, name in enumerate(every[:-1]):
            closed = statement.parse(self._log.entry((number + 1) * SIZE)).claims.iat
            if now - closed < _CLOSED_S:
                used.add(name)
        return [name for name in every if name in used and self._newest(name) is not None]

    def every(self) -> list[str]:
        """Return the names of all lists that there can be, as large as the log is now."""
        size = receipt.parse(self._log.receipt(0)).inclusion.size
        return [name_of(self.base, number) for number in range(-(-size // SIZE))]

    def is_own(self, name: str) -> bool:
        """Say whether a list of that name is this authority's, or would be."""
        number = name.removeprefix(f"{self.base}:")
        return number.isascii() and number.isdecimal() and name == name_of(self.base, int(number))

    def newest(self, name: str) -> Statement | None:
        """Return the newest version of a list."""
        found = self._newest(name)
        return None if found is None else found.signed

    def is_named(self, names: Names) -> bool:
        """Say whether all of these names are revoked in the first list."""
        found = self._names()
        return found.with_(names) == found

    def _renew(self, name: str, now: int) -> Version:
        """Publish the next version of a list with a later time for the one after it."""
        version = self._revise(name, lambda listed: listed._replace(next_update=now + self._period), now)
        return self._settle(name, version, now)

    def _settle(self, name: str, version: Version, now: int) -> Version:
        """Return the version of a list that repeats what the first list says by name, once it has not changed."""
        if name == self.first:
            return version
        for _ in range(_ATTEMPTS):
            names = self._names()
            if read(version.signed).names == names:
                return version

            def edit(listed: Listed, names: Names = names) -> Listed:
                return listed._replace(names=names)

            version = self._revise(name, edit, now)
        raise RevocationError(f"what is revoked by name kept changing, so {name} may lack some of it; repeat this")

    def _revise(self, name: str, edit: Edit, now: int) -> Version:
        """Return the version of a list that says what ``edit`` makes of the newest; it is published if it is new."""
        for _ in range(_ATTEMPTS):
            newest = self._newest(name)
            if newest is not None and self._is_foreign(newest):
                raise RevocationError(f"the list {name} is {newest.signed.claims.iss}'s; name your lists otherwise")
            former = None if newest is None else newest.signed
            listed = Listed({}, self._names(), now + self._period) if former is None else read(former)
            wanted = edit(listed)
            if newest is not None and wanted == listed:
                return newest
            # A version that says something new is good for the whole time again.
            signed = self._sign(former, name, wanted._replace(next_update=now + self._period), now)
            match self._log.register([signed.entry])[0]:
                case Registered(index, presented):
                    return Version(signed, index, presented)
                case Standing(index):
                    # A key with random signatures made this very version before, and the answer was lost.
                    return Version(statement.parse(self._log.entry(index)), index, None)
                case Refusal("STATUS_INVALID", _):
                    continue
                case Refusal(code, detail):
                    raise RevocationError(
                        f"the log does not register version {record_of(signed).version}: {code}: {detail}"
                    )
        raise RevocationError(f"others kept changing {name}; repeat this")

    def _sign(self, former: Statement | None, name: str, listed: Listed, now: int) -> Statement:
        record = follow(former, name, listed)
        previous = b"" if former is None else former.id
        unique = sha256(b"status %d %s %s" % (now, previous, name.encode())).digest()[:16]
        try:
            return statement.parse(statement.sign(record, Claims(self._iss, name, now, unique), self._signer))
        except ValueError as error:
            raise RevocationError(f"{error}; revoke a key or an epoch instead of so many names") from None

    def _names(self) -> Names:
        """Return what is revoked by name."""
        first = self.newest(self.first)
        return Names() if first is None else read(first).names

    def _newest(self, name: str) -> Version | None:
        for statement_, leaf_index in self._log.newest(Kind.STATUS, subject=name):
            parsed = statement.parse(statement_)
            if record_of(parsed).list != name:
                raise NotProvenError(f"entry {leaf_index} of {self._log.origin} is no version of {name}")
            return Version(parsed, leaf_index, None)
        return None

    def _is_foreign(self, version: Version) -> bool:
        return version.signed.claims.iss != self._iss
