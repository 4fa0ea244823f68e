"""Step 14: neither the artifact nor a grant above it is revoked or suspended (specs/05 §2).

A status list is a record of the authority's: two bits or another power of two for each index, packed and compressed
as in Token Status List, and what is revoked by name beside it. It stands in the tree of the artifact's own receipt,
perhaps after the artifact: a bundle is refreshed to take a newer list along.
"""

import zlib
from typing import Final

from .case import Beside, Case
from .elements import check_placed, check_signed, holder_of, key_of, request_of
from .records import Authorization, Status
from .statement import Statement
from .verdict import Code, Denial

VALID: Final = 0
REVOKED: Final = 1
SUSPENDED: Final = 2
MAX_LIST: Final = 1 << 20  # bytes, unpacked: a statement's 64 KiB must not become gigabytes


def check_status(case: Case) -> str:
    """Step 14: a fresh status list says that the artifact and every grant above it stand."""
    kind = case.authorization.action.type
    judged = 0
    above = ((grant.beside.statement, grant.request) for grant in case.parents)
    for authorization, request in ((case.artifact, case.request), *above):
        record = authorization.record
        assert isinstance(record, Authorization)
        if record.status is None:
            if kind in case.trust.status.required:
                raise Denial(Code.STATUS_STALE, f"{authorization.id.hex()} names no status list, which trust asks for")
            continue
        listed = _list(case, authorization, record.status.list)
        _check_entry(listed, record.status.idx)
        _check_names(case, authorization, request, listed)
        judged += 1
    return f"{judged} status entries, none revoked" if judged else "none asked for"


def value_at(status: Status, idx: int) -> int | None:
    """Return the status at an index, the first in the lowest bits of a byte; ``None`` outside the list.

    Raises ``Denial`` for a list that is not one.
    """
    unpacking = zlib.decompressobj()
    try:
        packed = unpacking.decompress(status.packed, MAX_LIST)
    except zlib.error:
        packed = None
    if packed is None or not unpacking.eof or unpacking.unused_data or status.bits not in (1, 2, 4, 8):
        raise Denial(Code.STATUS_STALE, f"the status list {status.list} is not packed as one")
    byte, place = divmod(idx * status.bits, 8)
    return None if byte >= len(packed) else packed[byte] >> place & ((1 << status.bits) - 1)


def _list(case: Case, authorization: Statement, name: str) -> Status:
    """Return the status list of that name, checked to be the issuer's, logged, fresh and not an older one."""
    beside = case.statuses.get(name)
    if beside is None:
        raise Denial(Code.STATUS_STALE, f"the status list {name} is not in the bundle; refresh it")
    presented = beside.statement
    record = presented.record
    assert isinstance(record, Status)
    indices = check_placed(case, beside, Code.STATUS_STALE, None)
    key = key_of(case.trust.issuers, presented, case.authorization.action.type, indices)
    if key is None or presented.claims.iss != authorization.claims.iss:
        raise Denial(Code.STATUS_STALE, f"the status list {name} is not by the authority that it is about")
    check_signed(presented, key, Code.STATUS_STALE)
    if case.time > record.next_update + case.trust.leeway:
        raise Denial(
            Code.STATUS_STALE, f"the status list {name} was due {case.time - record.next_update} s ago; refresh"
        )
    age, most = case.time - presented.claims.iat, case.trust.status.max_age
    if most is not None and age > most:
        raise Denial(Code.STATUS_STALE, f"the status list {name} is {age} s old, at most {most} s are trusted; refresh")
    newest = 0 if case.memory is None else case.memory.statuses.get(name, 0)
    if record.version < newest:
        raise Denial(Code.STATUS_ROLLBACK, f"version {record.version} of {name}, but version {newest} was seen before")
    case.versions[name] = record.version
    return record


def _check_entry(listed: Status, idx: int) -> None:
    value = value_at(listed, idx)
    if value is None:
        raise Denial(Code.STATUS_STALE, f"the status list {listed.list} has no index {idx}; refresh the bundle")
    if value != VALID:
        what = {REVOKED: "revoked", SUSPENDED: "suspended"}.get(value, f"of status {value}")
        raise Denial(Code.REVOKED, f"index {idx} of {listed.list} is {what}")


def _check_names(case: Case, authorization: Statement, request: Beside | None, listed: Status) -> None:
    """Deny what is revoked by name: execution or requester, policy, key, epoch."""
    record = authorization.record
    assert isinstance(record, Authorization)
    subjects, keys = {authorization.claims.sub}, {authorization.key_id}
    if request is not None:
        asked = request_of(case, authorization, request, Code.STATUS_STALE)
        subjects.add(asked.claims.iss)
        keys.add(asked.key_id)
    elif listed.subjects or listed.keys:
        raise Denial(Code.STATUS_STALE, f"who asked for {authorization.id.hex()} is not in the bundle; refresh it")
    keys.add(holder_of(authorization, Code.STATUS_STALE).thumbprint)
    policies = {link.id for link in record.links if link.relation == "policy"}
    for name, found in (
        ("subject", subjects.intersection(listed.subjects)),
        ("key", keys.intersection(listed.keys)),
        ("policy", policies.intersection(listed.policies)),
    ):
        if found:
            raise Denial(Code.REVOKED, f"the {name} {_show(found.pop())} is revoked in {listed.list}")
    for epoch in listed.epochs:
        if epoch.set == record.epoch.set and record.epoch.number <= epoch.number:
            raise Denial(Code.REVOKED, f"the epochs of {epoch.set} up to {epoch.number} are revoked in {listed.list}")


def _show(value: bytes | str) -> str:
    return value.hex() if isinstance(value, bytes) else value
