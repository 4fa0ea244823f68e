"""What the log holds already, as far as the admission of a record depends on it (specs/03 §3)."""

from typing import NamedTuple, NoReturn, Protocol

from exequatur_verifier.records import (
    Action,
    Approval,
    Authorization,
    Decision,
    Enrolment,
    Kind,
    Link,
    Registration,
    Request,
)
from exequatur_verifier.statement import Statement

from .entry import named_key
from .errors import Code, Refused


class Consent(NamedTuple):
    """What an approval consents to: its scope, how many uses, and until when."""

    scope: str
    uses: int
    exp: int


class Artifact(NamedTuple):
    """What an authorization permits, and to whom: ``holder`` is the thumbprint of its ``cnf`` key."""

    form: str
    uses: int
    depth: int
    audience: str
    nbf: int
    exp: int
    holder: bytes


class Standing(NamedTuple):
    """What later records depend on of an earlier one.

    ``outcome`` is a decision's, ``action`` a request's, ``consent`` an approval's, ``artifact`` an authorization's.
    """

    leaf_index: int
    kind: Kind
    subject: str
    iss: str
    signer: bytes
    links: tuple[Link, ...]
    outcome: str | None = None
    action: Action | None = None
    consent: Consent | None = None
    artifact: Artifact | None = None

    def linked(self, relation: str) -> bytes | None:
        """Return the id of the one record that is linked by a relation."""
        return linked(self.links, relation)


class Enrolled(NamedTuple):
    """The standing enrolment of a key, that key's algorithm, and the thumbprint of the enrolment's signer."""

    enrolment: Enrolment
    algorithm: int
    signer: bytes


class Newest(NamedTuple):
    """The newest version of a policy set or a status list: its record id, its epoch or version, and its ``iss``."""

    id: bytes
    number: int
    iss: str


class Registry(Protocol):
    """What the log holds before the statement that is being decided, earlier ones of its batch included."""

    @property
    def operator(self) -> bytes:
        """The thumbprint of the operator's key."""
        ...

    @property
    def origin(self) -> str:
        """The origin of the log."""
        ...

    @property
    def registration(self) -> Registration:
        """The registration policy last committed."""
        ...

    def standing(self, record_id: bytes) -> Standing | None:
        """Return what is known of an earlier record, or ``None`` if the log does not hold it."""
        ...

    def enrolled(self, key_id: bytes) -> Enrolled | None:
        """Return the enrolment last committed for a key."""
        ...

    def newest_policy(self, name: str) -> Newest | None:
        """Return the newest policy record of a set."""
        ...

    def newest_status(self, name: str) -> Newest | None:
        """Return the newest version of a status list."""
        ...

    def approved(self, signer: bytes, target: bytes) -> int | None:
        """Return the index of the approval that a key has given to a request or a policy record."""
        ...

    def spent(self, approval: bytes) -> int | None:
        """Return the index of the authorization that rests on an approval."""
        ...

    def delegated(self, grant: bytes) -> int:
        """Return the uses that all authorizations under a grant have together."""
        ...


def standing_of(statement: Statement, index: int) -> Standing:
    """Return what later records depend on of ``statement``."""
    claims, record = statement.claims, statement.record
    outcome = action = consent = artifact = None
    match record:
        case Request():
            action = record.action
        case Decision():
            outcome = record.outcome
        case Authorization():
            artifact = artifact_of(statement)
        case Approval():
            assert claims.exp is not None
            consent = Consent(record.scope, record.uses, claims.exp)
        case _:
            pass
    origin = index, statement.kind, claims.sub, claims.iss, statement.key_id
    return Standing(*origin, record.links, outcome, action, consent, artifact)


def artifact_of(statement: Statement) -> Artifact:
    """Return what an authorization permits. It has these claims, and a key among them, or it would not have parsed."""
    claims, record, key = statement.claims, statement.record, named_key(statement)
    assert isinstance(record, Authorization)
    assert claims.aud is not None
    assert claims.nbf is not None
    assert claims.exp is not None
    assert key is not None
    return Artifact(record.form, record.uses, record.depth or 0, claims.aud, claims.nbf, claims.exp, key.thumbprint)


def linked(links: tuple[Link, ...], relation: str) -> bytes | None:
    """Return the id of the first record that is linked by a relation."""
    for link in links:
        if link.relation == relation:
            return link.id
    return None


def refuse(code: Code, detail: str) -> NoReturn:
    """Raise ``Refused``."""
    raise Refused(code, detail)
