"""A home's authority as a service: its office, on the log that is being served, and its application beside the log's.

The office is opened and used in the desk's thread alone. Other commands go on in the home meanwhile, so what they may
change is looked at each time: which policy is in force, and which runtimes there are.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

from exequatur_issuer.asked import RuntimeIdentity
from exequatur_issuer.authorize import Authority
from exequatur_issuer.http import settings as service
from exequatur_issuer.http.app import create_app, owns
from exequatur_issuer.http.desk import Desk
from exequatur_issuer.http.office import Office, Ports
from exequatur_log.blocking import BlockingLog, SharedLog
from exequatur_log.http.metrics import Metrics
from exequatur_log.log import Log
from exequatur_verifier import statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Approval, Enrolment, Kind, Policy

from . import settings
from .home import Home, now, unique
from .settings import RuntimeEntry
from .waiting import Queue
from .wiring import Application, AuthorityLog, Beside

SETTINGS: Final = "service.toml"
_ALL: Final = 1 << 20
_PAUSE_S: Final = 60.0
_journal = logging.getLogger("exequatur.authority")


def read_settings(home: Path) -> service.Settings:
    """Return the settings of a home's service; without a file, those that know nobody. Raises ``MalformedError``."""
    path = home / SETTINGS
    try:
        return service.parse(path.read_text() if path.exists() else "")
    except (MalformedError, UnicodeDecodeError) as error:
        raise MalformedError(f"{path}: {error}") from None


def beside(
    folder: Path, found: service.Settings, open: Callable[[], Home]
) -> Callable[[Log, Application, Metrics], AbstractAsyncContextManager[Application]]:
    """Return what serves the authority of the home in ``folder`` beside its log; ``open`` opens that home.

    Raises ``MalformedError`` for settings that name no place that keys can be fetched from.
    """
    credentials = service.credentials(found, folder)
    named = settings.read(folder / "authority.toml").status
    pause = _PAUSE_S if named is None else min(_PAUSE_S, named.period / 4)

    @asynccontextmanager
    async def around(log: Log, app: Application, metrics: Metrics) -> AsyncIterator[Application]:
        shared = SharedLog(asyncio.get_running_loop(), log)
        desk = Desk(lambda: open_office(open(), shared), found.queue)
        keeping = asyncio.create_task(keep_lists(desk, pause))
        try:
            yield Beside(
                app, create_app(desk, credentials, found, now, shows_approvals=True, count=metrics.answered), owns
            )
        finally:
            keeping.cancel()
            # What is at the desk needs this very loop, until it is done.
            await asyncio.to_thread(desk.close)

    return around


async def keep_lists(desk: Desk[Office], pause: float) -> NoReturn:
    """Have the status lists in use published again before they lapse, for as long as the service stands."""
    while True:
        try:
            await desk.run(Office.keep)
        except Exception as error:  # noqa: BLE001  # told in the journal, and tried again
            _journal.warning("status lists could not be published; runtimes deny when they lapse: %s", error)
        await asyncio.sleep(pause)


def open_office(home: Home, log: BlockingLog) -> Office:
    """Return the office of a home on an open log; the home is closed with it."""
    home.share(log)
    kept, runtimes = _InForce(home), _Runtimes(home.path / "authority.toml")
    return Office(
        Ports(
            authority=kept.authority,
            log=AuthorityLog(log, home.checkpoint),
            runtime=runtimes.find,
            enrolment=lambda key: _enrolment(log, key),
            signer=home.signer,
            unique=unique,
            clock=now,
            close=home.close,
            disclosure=home.settings.disclosure,
            approvals=Queue(home, lambda time: kept.authority(time).policy),
            lists=home.status_lists(),
        )
    )


class _InForce:
    """The authority under the policy in force, opened again when that may be another one."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._authority: Authority | None = None
        self._newest = -1
        self._from = self._until = 0

    def authority(self, time: int) -> Authority:
        """Return the authority at a time."""
        name = self._home.settings.policy_set
        found = self._home.log.find(sub=name, newest_first=True, limit=1)
        newest = found[0].leaf_index if found else -1
        if self._authority is None or newest != self._newest or not self._from <= time < self._until:
            self._authority = None
            self._authority = self._home.authority(time)
            self._newest, self._from, self._until = newest, time, self._next_change(name, time)
        return self._authority

    def _next_change(self, name: str, time: int) -> int:
        """Return when what is published already makes another policy hold: one begins, or an endorsement ends."""
        changes = [1 << 63]
        for kind in (Kind.POLICY, Kind.APPROVAL):
            for entry in self._home.log.find(sub=name, kind=kind, limit=_ALL):
                item = statement.parse(entry.statement)
                if isinstance(item.record, Policy):
                    changes.append(item.record.activation)
                elif isinstance(item.record, Approval) and item.claims.exp is not None:
                    changes.append(item.claims.exp)
        return min(change for change in changes if change > time)


class _Runtimes:
    """The runtimes of a home, as its settings have them now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._entries: dict[str, RuntimeEntry] = {}

    def find(self, name: str) -> RuntimeIdentity | None:
        """Return a runtime by its name in the settings, or its id."""
        status = self._path.stat()
        seen = status.st_mtime_ns, status.st_ino
        if seen != self._seen:
            self._entries = dict(settings.read(self._path).runtimes)
            self._seen = seen
        found = self._entries.get(name) or next((one for one in self._entries.values() if one.id == name), None)
        return None if found is None else RuntimeIdentity(found.id, found.key.encoded)


def _enrolment(log: BlockingLog, key: bytes) -> Enrolment | None:
    """Return the standing enrolment of a key, if it reaches to the end of the log."""
    entry = log.enrolment(key)
    if entry is None:
        return None
    record = statement.parse(entry.statement).record
    size = log.head().size
    if not isinstance(record, Enrolment) or not record.since <= size < (record.until or size + 1):
        return None
    return record
