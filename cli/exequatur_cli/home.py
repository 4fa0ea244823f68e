"""A home with every role in it: where things lie, and the objects that commands work with (specs/07 §1).

trust.toml      what the runtime believes          keys/*.pem       one encrypted key for each role
authority.toml  the issuer's settings              keys/passphrase  made by ``init``, when no other is used
policy/         the policy set, as its owner writes it
log.db          the embedded log                   content/         what replay needs and the log does not hold
log.toml        where the log lies instead, and how its heads become public
state.db        the runtime's memory and spool     journal.db       what the authority signed, before it was sent
"""

import os
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from exequatur_gate import home as runtime_home
from exequatur_gate.gate import Gate
from exequatur_issuer import signer
from exequatur_issuer.authorize import Authority
from exequatur_issuer.content import ContentStore
from exequatur_issuer.decide import InForce
from exequatur_issuer.journal import Journal
from exequatur_issuer.lists import StatusLists
from exequatur_issuer.publish import load_in_force
from exequatur_issuer.reports import Reports
from exequatur_issuer.signers import reference
from exequatur_issuer.signers.reference import Source
from exequatur_log import settings as log_settings
from exequatur_log.blocking import BlockingLog
from exequatur_log.head import LogKeys
from exequatur_log.publish.preparation import check_directory, checkpoint_of
from exequatur_log.settings import Settings as LogSettings
from exequatur_log.storage.place import Place
from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.records import Kind
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust

from . import settings
from .settings import Settings
from .wiring import AuthorityLog, GateLog

# The types of action that a home's requester may ask for; what is permitted is policy's to say.
ACTIONS: Final = ("exequatur.grant", "http.request", "mcp.tool", "process.exec", "python.call")
ROLES: Final = ("operator", "receipts", "checkpoints", "authority", "owner", "requester", "approver", "runtime")


class HomeMissingError(FileNotFoundError):
    """There is no home where one was looked for."""


class _Deferred:
    """A signer that is loaded, which takes a while, only when something is to be signed."""

    def __init__(self, load: Callable[[], Signer]) -> None:
        self._load = load

    @cached_property
    def _signer(self) -> Signer:
        return self._load()

    @property
    def public_key(self) -> PublicKey:
        """The key that its signatures are checked with."""
        return self._signer.public_key

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message``."""
        return self._signer.sign(message)


class Home:
    """A home on this machine. Close it, or use it as a context manager: an open log keeps the process alive."""

    def __init__(self, path: Path, passphrase: bytes) -> None:
        self.path: Final = path
        self._passphrase: Final = passphrase
        self._log: BlockingLog | None = None
        self._journal: Journal | None = None
        self._signers: Final[dict[str, Signer]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened: the log, the journal, and connections to signers."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        for held in self._signers.values():
            reference.close(held)
        self._signers.clear()

    def share(self, log: BlockingLog) -> None:
        """Work on a log that is open already, instead of opening it once more."""
        self._log = log

    @cached_property
    def settings(self) -> Settings:
        """The issuer's settings."""
        return settings.read(self.path / "authority.toml")

    @cached_property
    def content(self) -> ContentStore:
        """The content store."""
        return ContentStore(self.path / "content")

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Where the keys are that are not in ``keys/``, by role; nowhere yet in a home that is being founded."""
        return self.settings.keys if (self.path / "authority.toml").exists() else {}

    def signer(self, role: str) -> Signer:
        """Return the signer of a role; raise ``KeyFileError``, or what ``reference.open_signer`` raises."""
        source, path = self.sources.get(role), self.path / "keys" / f"{role}.pem"
        if source is None:
            if not path.exists():
                raise signer.KeyFileError(
                    f"there is no {path}; `exequatur keys list` says which key of {role} there is"
                )
            return self.load_key(path)
        if role not in self._signers:
            self._signers[role] = self.open_key(source)
        return self._signers[role]

    def load_key(self, path: Path) -> Signer:
        """Return the signer of another key file under the home's passphrase; raise ``KeyFileError``."""
        return signer.load_key(path, self._passphrase)

    def open_key(self, source: Source) -> Signer:
        """Return the signer of a key that is anywhere; raise what ``reference.open_signer`` raises."""
        return reference.open_signer(source, self.path, self._passphrase)

    def copy_key(self, role: str, target: Path, passphrase: bytes) -> None:
        """Write a role's key file to another, under another passphrase; raise ``KeyFileError``."""
        signer.copy_key(self.path / "keys" / f"{role}.pem", self._passphrase, target, passphrase)

    def create_key(self, role: str, algorithm: Algorithm) -> Signer:
        """Make the key of a role, which has none yet, and return its signer; raise ``KeyFileError``."""
        return signer.create_key(self.path / "keys" / f"{role}.pem", self._passphrase, algorithm)

    def log_keys(self, iss: str, origin: str) -> LogKeys:
        """Return the keys of the embedded log."""
        return LogKeys(self.signer("receipts"), self.signer("checkpoints"), iss, origin)

    @cached_property
    def log_settings(self) -> LogSettings:
        """Where the log lies, and how its heads become public."""
        return log_settings.read(self.path / "log.toml")

    @property
    def log_place(self) -> Place:
        """Where the log lies."""
        return log_settings.place(self.log_settings, self.path)

    @property
    def log(self) -> BlockingLog:
        """The log, opened for appending at first use, if what a directory has of it is this log's."""
        if self._log is None:
            with BlockingLog.open(self.log_place) as reading:
                names = reading.identity
            log = BlockingLog.open(self.log_place, self.log_keys(names.iss, names.origin))
            try:
                log.run(lambda opened: check_directory(opened, self.log_settings, self.path))
            except BaseException:
                log.close()
                raise
            self._log = log
        return self._log

    def checkpoint(self, size: int) -> bytes | None:
        """Return the checkpoint of the head of that size, if one was signed; with cosignatures, if there are witnesses.

        Witnesses are asked now unless a quorum has cosigned it before. What they leave open is the verifier's to judge.
        """
        return self.log.run(lambda log: checkpoint_of(log, size, self.log_settings, self.path, now))

    @property
    def journal(self) -> Journal:
        """What the authority has signed, opened at first use."""
        if self._journal is None:
            self._journal = Journal(self.path / "journal.db")
        return self._journal

    def authority(self, now: int) -> Authority:
        """Return the authority, under the policy that is in force at ``now``."""
        return Authority(
            iss=self.settings.authority.iss,
            signer=self.signer("authority"),
            log=self.authority_log,
            content=self.content,
            journal=self.journal,
            policy=self.policy_in_force(now),
            status=self.status_lists(),
            approvers=frozenset(key.thumbprint for named in self.trust.approvers for key in named.keys),
            modes=self.settings.modes,
        )

    @property
    def authority_log(self) -> AuthorityLog:
        """The log as the authority asks it."""
        return AuthorityLog(self.log, self.checkpoint)

    def status_lists(self) -> StatusLists | None:
        """Return the authority's status lists, or ``None`` if its settings name none."""
        named = self.settings.status
        if named is None:
            return None
        return StatusLists(
            base=named.list,
            iss=self.settings.authority.iss,
            signer=_Deferred(lambda: self.signer("authority")),
            log=self.authority_log,
            period=named.period,
        )

    def reports(self) -> Reports:
        """Return what the authority reports."""
        return Reports(
            iss=self.settings.authority.iss,
            signer=self.signer("authority"),
            journal=self.journal,
            log=self.authority_log,
        )

    def gate(self) -> Gate:
        """Return the armed gate of the home's runtime, whose records go to the embedded log."""
        log = GateLog(self.log)
        runtime = runtime_home.load(str(self.path), self._passphrase)
        logged = self.log.last_seq(runtime.signer.public_key.thumbprint) or 0
        return Gate(runtime, source=log, sink=log, logged_seq=logged)

    @cached_property
    def trust(self) -> Trust:
        """What the home's own runtime believes; raise ``MalformedError``."""
        return parse_trust((self.path / "trust.toml").read_bytes())

    def policy_records(self) -> list[Statement]:
        """Return every epoch of the home's policy set, and what further owners signed of them."""
        name = self.settings.policy_set
        return [
            statement.parse(entry.statement)
            for kind in (Kind.POLICY, Kind.APPROVAL)
            for entry in self.log.find(sub=name, kind=kind, limit=1 << 20)
        ]

    def policy_in_force(self, now: int) -> InForce:
        """Return the policy set that is in force at ``now``, loaded; raise ``NoPolicyError``."""
        return load_in_force(self.policy_records(), self.content, self.settings.policy_set, now, self.trust.policy)


def open_home(named: Path | None, passphrase_file: Path | None = None, *, enforcing: bool = False) -> Home:
    """Open the home that was named, else the installed one; ``$EXEQUATUR_HOME`` serves what does not enforce.

    Raises ``HomeRefusedError`` for a home that is not there, or that others than its owner can write.
    """
    if named is None and not enforcing and "EXEQUATUR_HOME" in os.environ:
        named = Path(os.environ["EXEQUATUR_HOME"])
    path = runtime_home.locate(None if named is None else str(named))
    if not Path(path).is_dir():
        raise HomeMissingError(f"there is no home in {path}; make one with `exequatur init`, or name yours with --home")
    runtime_home.check(path)
    if passphrase_file is not None:
        passphrase = runtime_home.read_private(str(passphrase_file)).rstrip(b"\r\n")
    else:
        passphrase = runtime_home.find_passphrase(path)
    return Home(Path(path), passphrase)


def now() -> int:
    """Return the time of this clock in unix seconds."""
    return int(time.time())


def unique() -> bytes:
    """Return 16 random bytes: a salt or a unique id."""
    return secrets.token_bytes(16)
