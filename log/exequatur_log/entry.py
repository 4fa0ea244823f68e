"""Entries: a registered statement with the columns that it is found by, all of them derived from its bytes.

A record may belong to one *series*, in which it has a number: a policy record to its set (by epoch), a status
list to its URN (by version), a runtime record to its signer (by ``seq``), an approval to its signer and what it
approves, an enrolment to the key it enrols and a registration policy or the log's own keys to the log (all by index).
What is authorized under a grant belongs to the grant, and its number is how many uses of it are taken with that: the
one column that also follows from earlier entries. The newest record of a series is what registration decides by, and
of approvals the oldest.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from exequatur_verifier import cbor
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm, PublicKey
from exequatur_verifier.records import (
    Approval,
    Authorization,
    Enforcement,
    Enrolment,
    Outcome,
    Policy,
    Status,
    Verification,
)
from exequatur_verifier.statement import Statement

REGISTRATION_SERIES = "registration"
LOG_KEYS_SERIES = "log-keys"


class Entry(NamedTuple):
    """One row of the log. ``head_size`` names the head that the receipt was frozen at; the rest is the statement's."""

    leaf_index: int
    record_id: bytes
    leaf_hash: bytes
    kind: str
    sub: str
    iss: str
    iat: int
    key_id: bytes
    head_size: int
    series: str | None
    number: int | None
    statement: bytes


class NamedKey(NamedTuple):
    """A key that an entry introduces: what later signatures are looked up by, and its encoding as COSE_Key."""

    thumbprint: bytes
    algorithm: int
    encoded: bytes


class Registered(NamedTuple):
    """The answer to a registration. Unless it is ``fresh`` the record stood already, and the receipt is its first."""

    leaf_index: int
    record_id: bytes
    receipt: bytes
    fresh: bool


def entry_of(statement: Statement, leaf_hash: bytes, index: int, head_size: int, delegated: int = 0) -> Entry:
    """Return the row for a statement that is registered at ``index``.

    ``delegated`` is how many uses of the grant above it are taken already.
    """
    series, number = series_of(statement, index, delegated)
    claims = statement.claims
    return Entry(
        index,
        statement.id,
        leaf_hash,
        statement.kind.value,
        claims.sub,
        claims.iss,
        claims.iat,
        statement.key_id,
        head_size,
        series,
        number,
        statement.entry,
    )


def series_of(statement: Statement, index: int, delegated: int) -> tuple[str | None, int | None]:
    """Return the series that a record belongs to and its number in it."""
    match statement.record:
        case Verification(seq=seq) | Outcome(seq=seq) | Enforcement(seq=seq):
            return runtime_series(statement.key_id), seq
        case Policy(set=name, epoch=epoch):
            return policy_series(name), epoch
        case Status(list=name, version=version):
            return status_series(name), version
        case Approval(links=(link, *_)):
            return approval_series(statement.key_id, link.id), index
        case Authorization(links=links, uses=uses):
            for link in links:
                if link.relation == "parent":
                    return grant_series(link.id), delegated + uses
            return None, None
        case Enrolment(form="key", key=Mapping() as parameters):
            return key_series(thumbprint(parameters)), index
        case Enrolment(form="log-keys"):
            return LOG_KEYS_SERIES, index
        case Enrolment():
            return REGISTRATION_SERIES, index
        case _:
            return None, None


def runtime_series(key_id: bytes) -> str:
    """Return the series of the runtime records that a key signed."""
    return f"runtime {key_id.hex()}"


def policy_series(name: str) -> str:
    """Return the series of a policy set."""
    return f"policy {name}"


def status_series(name: str) -> str:
    """Return the series of a status list."""
    return f"status {name}"


def approval_series(signer: bytes, target: bytes) -> str:
    """Return the series of the approvals that a key gave to one request or policy record: there is one at most."""
    return f"approval {target.hex()} {signer.hex()}"


def grant_series(grant: bytes) -> str:
    """Return the series of what is authorized under a grant, numbered by the uses that are taken of it."""
    return f"grant {grant.hex()}"


def key_series(key_id: bytes) -> str:
    """Return the series of the enrolments of a key."""
    return f"key {key_id.hex()}"


def named_key(statement: Statement) -> NamedKey | None:
    """Return the key that a record introduces: an enrolled one, or the one an authorization is bound to (``cnf``)."""
    record = statement.record
    if isinstance(record, Enrolment) and record.key is not None:
        return _named(record.key)
    if isinstance(record, Authorization) and statement.claims.cnf is not None:
        return _confirmed(statement.claims.cnf)
    return None


def thumbprint(parameters: Mapping[int, Any]) -> bytes:
    """Return the RFC 9679 thumbprint of a COSE_Key without loading it, which costs a hundred times more."""
    labels = (1, 3, -1) if parameters.get(1) == 7 else (1, -1, -2, -3)
    return sha256(cbor.encode({label: parameters[label] for label in labels if label in parameters})).digest()


def load_key(named: NamedKey) -> PublicKey:
    """Return the key; raise ``MalformedError`` if it is not one, or is not the one that its thumbprint names."""
    key = PublicKey.from_cose(named.encoded)
    if (key.thumbprint, int(key.algorithm)) != (named.thumbprint, named.algorithm):
        raise MalformedError("a key under another key's name")
    return key


# A runtime's key stands in all that is authorized for it.
@lru_cache(maxsize=256)
def _confirmed(cnf: bytes) -> NamedKey:
    return _named(cbor.decode_map(cnf))


def _named(parameters: Mapping[int, Any]) -> NamedKey:
    algorithm = parameters.get(3)
    if type(algorithm) is not int or algorithm not in set(Algorithm):
        raise MalformedError("a key of no known algorithm")
    return NamedKey(thumbprint(parameters), algorithm, cbor.encode(dict(parameters)))
