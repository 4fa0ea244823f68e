"""The epochs of a policy set: who signed which, and which of them is in force (specs/09 §8).

    policy record    signed by one owner, the next epoch of its set, with the time from which it is to hold
    approval         of scope "policy": a further owner's signature on that record, until it expires

A record is in force for an authority when its activation has passed and as many owners stand behind it as trust
asks for (``trust.PolicyTrust``). Epochs only go up: what was in force once is left for a higher epoch and for
nothing else, so when its endorsements expire, nothing is decided until they are renewed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Approval, Link, Policy
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement
from exequatur_verifier.trust import PolicyTrust


class NoPolicyError(ExequaturError):
    """No policy record of the set is in force, so nothing can be decided."""


class EndorsementError(ExequaturError):
    """A signature on a policy record that would count for nothing."""


class EpochTakenError(ExequaturError):
    """Another record has become the next epoch, so this one was published by nobody."""


class Epoch(NamedTuple):
    """An epoch of a set: its record, the endorsements that count at a time, and who then stands behind it.

    ``owners`` are thumbprints. ``was_in_force`` says whether there were enough of them at some time up to then, with
    the activation behind it; ``is_in_force`` whether there are.
    """

    statement: Statement
    record: Policy
    endorsements: tuple[Statement, ...]
    owners: frozenset[bytes]
    was_in_force: bool
    is_in_force: bool


def epochs(records: Iterable[Statement], name: str, now: int, trust: PolicyTrust | None = None) -> list[Epoch]:
    """Return the epochs of a set as they stand at ``now``, the highest first.

    ``records`` are statements of one log; others than policy records of that set and their endorsements are passed
    over. That they stand in the log, and so are signed by who may, is the caller's to know. Without ``trust`` whoever
    the log lets publish is owner enough.
    """
    published: dict[bytes, tuple[Statement, Policy]] = {}
    endorsed: dict[bytes, list[Statement]] = {}
    for item in records:
        if isinstance(item.record, Policy) and item.record.set == name:
            published[item.id] = item, item.record
        elif isinstance(item.record, Approval) and item.record.scope == "policy":
            endorsed.setdefault(item.record.commitment, []).append(item)
    found = [_epoch(*one, endorsed.get(one[0].id, ()), now, trust) for one in published.values()]
    return sorted(found, key=lambda epoch: epoch.record.epoch, reverse=True)


def in_force(records: Iterable[Statement], name: str, now: int, trust: PolicyTrust | None = None) -> Epoch:
    """Return the epoch of a set to decide under at ``now``: the highest that is, or was before, in force.

    Takes what ``epochs`` takes. Raises ``NoPolicyError`` where there is none, and where the one that was is no longer.
    """
    known = epochs(records, name, now, trust)
    found = next((epoch for epoch in known if epoch.was_in_force), None)
    if found is None:
        waiting = f"; of the {len(known)} published none is active and signed by enough owners" if known else ""
        raise NoPolicyError(f"no record of {name} is in force at {now}{waiting}: publish the policy set, or endorse it")
    if not found.is_in_force:
        raise NoPolicyError(
            f"epoch {found.record.epoch} of {name} is signed by {len(found.owners)} of its owners at {now}, which is "
            "less than trust asks for: endorsements have expired; endorse it again, or publish the next epoch"
        )
    return found


def endorse(policy: Statement, signer: Signer, *, iss: str, now: int, exp: int, unique: bytes) -> bytes:
    """Return the signed approval of a policy record by a further owner, for the log to register.

    It counts until ``exp`` (unix seconds). ``unique`` is 16 random bytes. What the record names is not read here:
    whoever signs loads it first (``publish.load``). Raises ``EndorsementError``.
    """
    if not isinstance(policy.record, Policy):
        raise MalformedError(f"a {policy.kind.value} record cannot be endorsed; name a policy record")
    if signer.public_key.thumbprint == policy.key_id:
        raise EndorsementError("this key signed the policy record itself; another owner endorses it")
    if exp <= now:
        raise EndorsementError(f"an endorsement that expires at {exp} has expired before it is signed")
    record = Approval(links=(Link("policy", policy.id),), commitment=policy.id, scope="policy", uses=0)
    return statement.sign(record, Claims(iss, policy.record.set, now, unique, exp=exp), signer)


def _epoch(
    policy: Statement, record: Policy, approvals: Sequence[Statement], now: int, trust: PolicyTrust | None
) -> Epoch:
    def enough(owners: frozenset[bytes]) -> bool:
        return trust is None or policy.id in trust.accept or len(owners) >= trust.threshold

    owners = None if trust is None else frozenset(key.thumbprint for key in trust.owners)
    counted = [item for item in approvals if _counts(item, policy, owners)]
    signed = [item for item in (policy, *counted) if owners is None or item.key_id in owners]

    def behind(time: int) -> frozenset[bytes]:
        # What the log holds was signed before now, whatever the signer's clock said.
        return frozenset(
            item.key_id
            for item in signed
            if min(item.claims.iat, now) <= time and (item.claims.exp is None or time < item.claims.exp)
        )

    # It can have come into force only at its activation, or with a signature after that.
    times = {max(record.activation, min(item.claims.iat, now)) for item in (policy, *counted)} | {now}
    current = behind(now)
    return Epoch(
        policy,
        record,
        tuple(item for item in counted if (item.claims.exp or 0) > now),
        current,
        any(record.activation <= time <= now and enough(behind(time)) for time in times),
        record.activation <= now and enough(current),
    )


def _counts(approval: Statement, policy: Statement, owners: frozenset[bytes] | None) -> bool:
    """Say whether an approval is an endorsement of that record by another owner."""
    return (
        approval.record.links == (Link("policy", policy.id),)
        and approval.claims.sub == policy.claims.sub
        and approval.key_id != policy.key_id
        and (owners is None or approval.key_id in owners)
    )
