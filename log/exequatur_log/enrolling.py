"""Who may enrol what: the admission of enrolment records (specs/03 §3)."""

from typing import Final

from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Enrolment, Kind
from exequatur_verifier.statement import Statement

from .entry import thumbprint
from .errors import Code
from .genesis import read_log_keys
from .standing import Registry, refuse

# What an authority may enrol keys for by itself; every other enrolment is the operator's.
DELEGABLE: Final = frozenset((Kind.REQUEST, Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT))
_MIN_STATEMENT: Final = 4096


def check_enrolment(record: Enrolment, statement: Statement, registry: Registry) -> None:
    """Check that an enrolment names what its form does, and is its signer's to make."""
    of_operator = statement.key_id == registry.operator
    if record.origin is not None or record.form == "genesis":
        refuse(Code.ENROLMENT_INVALID, "only entry 0 is a genesis and names the origin")
    if record.form == "log-keys":
        _check_log_keys(record, registry.origin, of_operator=of_operator)
        return
    if record.receipt_keys or record.checkpoint_keys:
        refuse(Code.ENROLMENT_INVALID, "the log's own keys are replaced by a record of form log-keys")
    if record.form == "registration":
        _check_registration(record, of_operator=of_operator)
        return
    if record.key is None or record.iss is None or record.registration is not None:
        refuse(Code.ENROLMENT_INVALID, "the enrolment of a key names the key and its iss, and no registration policy")
    if of_operator:
        return
    # What an authority enrols is its own: it gives nothing that it does not control, and takes nothing from
    # others.
    if not set(record.kinds) <= DELEGABLE:
        allowed = ", ".join(sorted(kind.value for kind in DELEGABLE))
        refuse(Code.ENROLMENT_INVALID, f"an authority enrols keys for {allowed}; ask the operator for other kinds")
    key_id = thumbprint(record.key)
    former = registry.enrolled(key_id)
    if key_id == registry.operator or (former is not None and former.signer != statement.key_id):
        refuse(Code.ENROLMENT_INVALID, "the key was enrolled by another; only they or the operator can replace that")


def _check_log_keys(record: Enrolment, origin: str, *, of_operator: bool) -> None:
    if not of_operator:
        refuse(Code.ENROLMENT_INVALID, "the log's own keys are the operator's to change")
    if (
        any((record.iss, record.key, record.kinds, record.actions, record.since, record.registration))
        or record.until is not None
    ):
        refuse(Code.ENROLMENT_INVALID, "a record of the log's keys names those keys and nothing else")
    try:
        read_log_keys(record, origin)
    except MalformedError as error:
        refuse(Code.ENROLMENT_INVALID, f"{error}; name keys that this build can sign heads with")


def _check_registration(record: Enrolment, *, of_operator: bool) -> None:
    if not of_operator:
        refuse(Code.ENROLMENT_INVALID, "a registration policy is the operator's to change")
    if record.registration is None or any(
        (record.iss, record.key, record.kinds, record.actions, record.since, record.until)
    ):
        refuse(Code.ENROLMENT_INVALID, "a registration policy names its limits and nothing else")
    # A policy that refuses every enrolment could never be replaced.
    if record.registration.max_bytes < _MIN_STATEMENT:
        refuse(Code.ENROLMENT_INVALID, f"a registration policy admits statements of at least {_MIN_STATEMENT} bytes")
