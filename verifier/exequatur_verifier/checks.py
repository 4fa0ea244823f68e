"""Steps 0 to 3 and 7 to 11: the artifact, its time, place and action, and the policy behind it (specs/05 §2).

Each function is one step: it returns a sentence on what held, or raises ``Denial`` with the code of what did not.
"""

from functools import lru_cache
from typing import Final

from . import action, bundle, consent, constraints, elements, receipt, statement
from .case import Beside, Case
from .constraints import Facts
from .errors import MalformedError, UnsupportedError
from .memory import Clock, KnownPolicy, Memory
from .records import Authorization, Policy
from .statement import Statement
from .verdict import Code, Denial

# One policy stands behind many artifacts, and the same terms behind the runs of one command: each is parsed once.
_parse_policy: Final = lru_cache(maxsize=32)(statement.parse)
_decode_terms: Final = lru_cache(maxsize=32)(constraints.decode_terms)


def check_presence(case: Case) -> str:
    """Step 0: there is a bundle, within the size limit."""
    if not case.data:
        raise Denial(Code.ARTIFACT_MISSING, "no bundle was presented for this action")
    if len(case.data) > bundle.MAX_BUNDLE:
        raise Denial(Code.ARTIFACT_TOO_LARGE, f"the bundle is {len(case.data)} bytes long, at most {bundle.MAX_BUNDLE}")
    return f"bundle of {len(case.data)} bytes"


def check_form(case: Case) -> str:
    """Step 1: every part parses strictly, and every element is one that a step of this build consumes."""
    assert case.data is not None
    try:
        case.bundle = bundle.decode(case.data)
        case.statement, receipts = statement.parse_transparent(case.bundle.artifact)
        case.receipts = tuple(receipt.parse(data) for data in receipts[: bundle.MAX_RECEIPTS + 1])
        case.terms = _decode_terms(case.bundle.terms)
        if case.bundle.policy is not None:
            case.policy_statement = _parse_policy(case.bundle.policy.statement)
        elements.read(case)
    except UnsupportedError as error:
        raise Denial(Code.UNSUPPORTED, str(error)) from None
    except MalformedError as error:
        raise Denial(Code.ARTIFACT_MALFORMED, str(error)) from None
    origins = [presented.origin for presented in case.receipts]
    if len(origins) > bundle.MAX_RECEIPTS or len(set(origins)) != len(origins):
        raise Denial(Code.ARTIFACT_MALFORMED, "more than 16 receipts, or two of one log")
    return f"record {case.artifact.id.hex()}"


def check_kind(case: Case) -> str:
    """Step 2: an authorization for an action, of a mode that is opted into."""
    record = case.artifact.record
    if not isinstance(record, Authorization):
        raise Denial(Code.KIND_MISMATCH, f"a {case.artifact.kind.value} record authorizes nothing")
    if record.form != "action":
        raise Denial(Code.KIND_MISMATCH, "a grant can be delegated but not executed")
    if record.mode != "enforce" and record.action.type not in case.trust.modes.get(record.mode, ()):
        raise Denial(Code.UNSUPPORTED, f"mode {record.mode!r}, which trust does not opt into for {record.action.type}")
    case.authorization = record
    return f"authorization of {record.action.type}" + ("" if record.mode == "enforce" else f", mode {record.mode}")


def check_issuer(case: Case) -> str:
    """Step 3: a trusted issuer, for this type of action, with a key valid where the artifact stands; the signature."""
    artifact, kind = case.artifact, case.authorization.action.type
    named = [issuer for issuer in case.trust.issuers if issuer.iss == artifact.claims.iss and kind in issuer.actions]
    found = [(issuer, key) for issuer in named for key in issuer.keys if key.thumbprint == artifact.key_id]
    if not found:
        raise Denial(Code.ISSUER_UNTRUSTED, f"{artifact.claims.iss} is not trusted with this key for {kind}")
    # The index is proven in step 4; of a log that is not trusted it would mean nothing.
    indices = [one.inclusion.leaf_index for one in case.receipts if one.origin in case.trust.logs]
    if not any(
        all(issuer.since <= index and not _is_past(issuer.until, index) for index in indices) for issuer, _ in found
    ):
        raise Denial(Code.ISSUER_UNTRUSTED, f"the issuer's key is not trusted at the index {indices} of the artifact")
    elements.check_signed(artifact, found[0][1], Code.SIGNATURE_INVALID)
    case.signed_times.append(artifact.claims.iat)
    return f"signed by {artifact.claims.iss}"


def check_time(case: Case) -> str:
    """Step 7: now lies in the artifact's window, the clock was not set back, and nothing was signed in the future."""
    leeway, claims = case.trust.leeway, case.artifact.claims
    assert claims.nbf is not None
    assert claims.exp is not None
    if case.memory is not None:
        _check_clock(case.now, case.memory, leeway)
    latest = max(case.signed_times)
    if latest > case.now.unix + leeway:
        raise Denial(Code.TIME_IN_FUTURE, f"signed {latest - case.now.unix} s after the time of this clock")
    if case.time < claims.nbf - leeway:
        raise Denial(Code.NOT_YET_VALID, f"valid in {claims.nbf - case.time} s")
    if case.time >= claims.exp + leeway:
        raise Denial(Code.EXPIRED, f"expired {case.time - claims.exp} s ago")
    return f"valid for another {claims.exp - case.time} s"


def check_audience(case: Case) -> str:
    """Step 8: meant for this runtime, and bound to its key."""
    claims, runtime = case.artifact.claims, case.trust.runtime
    if claims.aud != runtime.id:
        raise Denial(Code.AUDIENCE_MISMATCH, f"meant for {claims.aud}, this is {runtime.id}")
    if claims.cnf != runtime.key.encoded:
        raise Denial(Code.RUNTIME_MISMATCH, "bound to another runtime's key")
    return f"for {runtime.id}"


def check_action(case: Case) -> str:
    """Step 9: the action about to run is the one committed to, and satisfies the constraints."""
    committed, salt = case.authorization.action, case.bundle.salt
    try:
        encoded = action.encode(case.action)
    except MalformedError as error:
        raise Denial(Code.ACTION_MISMATCH, str(error)) from None
    if (
        case.action["type"] != committed.type
        or action.commitment(action.ACTION_TAG, salt, encoded) != committed.commitment
    ):
        raise Denial(Code.ACTION_MISMATCH, "the action about to run is not the one that was authorized")
    if action.commitment(action.TERMS_TAG, salt, case.bundle.terms) != case.authorization.terms:
        raise Denial(Code.CONSTRAINT_VIOLATED, "the terms in the bundle are not the ones that were authorized")
    violated = list(constraints.violations(case.terms.constraints, case.action, case.facts))
    if violated:
        raise Denial(Code.CONSTRAINT_VIOLATED, "; ".join(violated))
    return f"{committed.type} as authorized"


def check_facts(case: Case) -> str:
    """Step 10: what was measured is what the artifact names, and the enforcement it needs is on offer."""
    facts: Facts = case.facts
    for name, wanted in case.terms.facts.items():
        measured = facts.measured.get(name)
        if measured != wanted:
            raise Denial(Code.FACT_MISMATCH, f"{name} is {_show(measured)}, authorized was {_show(wanted)}")
    needed = constraints.required_enforcement(case.terms.constraints) | set(case.trust.enforcement.required)
    missing = needed - facts.enforcement
    if missing:
        raise Denial(Code.ENFORCEMENT_UNAVAILABLE, f"this host or build does not enforce {', '.join(sorted(missing))}")
    return f"{len(case.terms.facts)} facts measured as authorized"


def check_policy(case: Case) -> str:
    """Step 11: the policy is accepted, proven in the same trees, and neither older nor staler than permitted."""
    wanted = case.link("policy")
    if wanted is None:
        raise Denial(Code.POLICY_UNTRUSTED, "the artifact names no policy")
    epoch = case.authorization.epoch
    known = None if case.memory is None else case.memory.policies.get(wanted)
    # Who else signed it is not remembered, so where one owner does not suffice the record is asked for every time.
    is_owned = (
        known is not None
        and case.trust.policy.threshold == 1
        and any(key.thumbprint == known.owner for key in case.trust.policy.owners)
    )
    if case.policy_statement is not None:
        known, is_owned = _check_policy_statement(case, case.policy_statement, wanted, known if is_owned else None)
    if not is_owned and wanted not in case.trust.policy.accept:
        raise Denial(
            Code.POLICY_UNTRUSTED, f"policy {wanted.hex()} is not accepted here, and none was presented to check"
        )
    if known is not None and (known.set, known.epoch) != epoch:
        raise Denial(
            Code.POLICY_UNTRUSTED,
            f"the policy record is epoch {known.epoch} of {known.set}, the artifact says otherwise",
        )
    _check_epoch(case, known, epoch.number)
    case.policy = known if is_owned else None
    case.policy_approvals = 0 if known is None else known.approvals
    return f"epoch {epoch.number} of {epoch.set}"


def _is_past(end: int | None, index: int) -> bool:
    return end is not None and index >= end


def _check_clock(now: Clock, memory: Memory, leeway: int) -> None:
    latest = max(memory.floor, memory.clock.unix)
    if now.unix < latest - leeway:
        raise Denial(Code.CLOCK_ROLLBACK, f"this clock is {latest - now.unix} s behind a time that was seen before")
    if now.boot == memory.clock.boot != "":
        lost = (now.uptime - memory.clock.uptime) - (now.unix - memory.clock.unix)
        if lost > leeway:
            raise Denial(Code.CLOCK_ROLLBACK, f"this clock lost {lost} s against the time since boot")


def _check_policy_statement(
    case: Case, presented: Statement, wanted: bytes, known: KnownPolicy | None
) -> tuple[KnownPolicy, bool]:
    """Check the policy record in the bundle; return what it says, and whether a trusted owner signed it."""
    record, element = presented.record, case.bundle.policy
    assert element is not None
    if not isinstance(record, Policy) or presented.id != wanted:
        raise Denial(Code.POLICY_UNTRUSTED, "the policy in the bundle is not the one that the artifact names")
    elements.check_placed(case, Beside(presented, element), Code.POLICY_UNTRUSTED, case.indices)
    owner = next((key for key in case.trust.policy.owners if key.thumbprint == presented.key_id), None)
    # The record id covers all that the owner signed, and the tree covers the signature's bytes.
    if owner is not None and (known is None or known.owner != owner.thumbprint):
        elements.check_signed(presented, owner, Code.POLICY_UNTRUSTED)
    if record.activation > case.time + case.trust.leeway:
        raise Denial(Code.POLICY_UNTRUSTED, f"the policy comes into force in {record.activation - case.time} s")
    if owner is not None:
        consent.check_owners(case, presented)
    found = KnownPolicy(
        presented.id, presented.key_id, record.set, record.epoch, presented.claims.iat, record.approvals
    )
    return found, owner is not None


def _check_epoch(case: Case, known: KnownPolicy | None, epoch: int) -> None:
    trusted = case.trust.policy
    if epoch < trusted.min_epoch:
        raise Denial(Code.POLICY_STALE, f"epoch {epoch}, trust asks for at least {trusted.min_epoch}")
    if known is None:
        return
    if case.memory is not None:
        seen = [
            other for other in case.memory.policies.values() if (other.owner, other.set) == (known.owner, known.set)
        ]
        newest = max((other.epoch for other in seen), default=0)
        if epoch < newest:
            raise Denial(Code.POLICY_STALE, f"epoch {epoch}, but epoch {newest} of this policy set was seen before")
    if trusted.max_age is not None and case.time - known.iat > trusted.max_age:
        raise Denial(
            Code.POLICY_STALE, f"the policy is {case.time - known.iat} s old, at most {trusted.max_age} s are trusted"
        )


def _show(value: bytes | str | None) -> str:
    return "not measured" if value is None else value.hex() if isinstance(value, bytes) else value
