"""Bundles with everything that may stand beside an artifact: who asked, who consented, what it was delegated from, and
whether it still stands. A test says what differs from a sound one and builds.
"""

import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from exequatur_verifier import action, constraints, statement
from exequatur_verifier.bundle import Bundle, Element, Parent
from exequatur_verifier.constraints import Constraints, Terms
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.records import (
    Action,
    Approval,
    Authorization,
    Epoch,
    Link,
    Record,
    Request,
    Status,
    StatusEntry,
)
from exequatur_verifier.statement import Claims, Statement
from tests.support import world
from tests.support.world import NOW, RUNTIME, SUBJECT, Log

AUTHORITY: Final = "urn:exequatur:authority:test"
SET: Final = "urn:exequatur:policy:test"
LIST: Final = "urn:exequatur:status:test"
GIT: Final = Matcher(Operator.EXACT, "process.exec")
# What the grants of these tests cover: the type, and the program by its path.
COVERED: Final = Constraints(args={"/type": GIT, "/name": Matcher(Operator.SUBPATH, "/usr/bin")})
NARROWER: Final = COVERED._replace(args={**COVERED.args, "/name": Matcher(Operator.EXACT, "/usr/bin/git")})


class Consent(NamedTuple):
    """An approval: by whom, and what differs from a sound one."""

    by: str = "approver"
    record: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    iss: str = ""


class Grant(NamedTuple):
    """A grant: who holds it, what it covers, and what differs from a sound one."""

    holder: str = "agent"
    covers: Constraints = COVERED
    consents: Sequence[Consent] = ()
    facts: Mapping[str, bytes | str] = {}
    record: Mapping[str, Any] = {}
    claims: Mapping[str, Any] = {}
    asked_with: str = ""
    asked: Mapping[str, Any] = {}
    by: str = "authority"
    with_request: bool | None = None
    part: Mapping[str, Any] = {}


class Made(NamedTuple):
    """A bundle, the log that proves it, and the ids of what went into it."""

    bundle: Bundle
    log: Log
    artifact: Statement
    policy: Statement


def trust(log: Log, **more: Any) -> str:
    """Return the world's trust policy with approvers; ``approvals`` and the like are given as TOML in ``extra``."""
    extra = more.pop("extra", "")
    keys = ", ".join(f'"{world.text_key(world.signer(name))}"' for name in ("approver", "second", "late"))
    approvers = f'[[approvers]]\niss = "urn:exequatur:approver"\nkeys = [{keys}]\n'
    approvers += 'actions = ["process.exec", "exequatur.grant"]\n'
    return world.trust_toml(log, extra=approvers + extra, **more)


def build(
    *,
    consents: Sequence[Consent] = (),
    owners: Sequence[Consent] = (),
    grants: Sequence[Grant] = (),
    status: Mapping[str, Any] | None = None,
    listed: StatusEntry | None = None,
    record: Mapping[str, Any] = {},
    claims: Mapping[str, Any] = {},
    covers: Constraints | None = None,
    asked_with: str = "",
    asked: Mapping[str, Any] = {},
    policy_approvals: int = 0,
    left_out: Sequence[str] = (),
    added: Mapping[str, Any] = {},
    status_by: str = "authority",
    status_claims: Mapping[str, Any] = {},
    status_before: bool = False,
) -> Made:
    """Return the bundle of an action below ``grants`` (the first one first) with what stands beside it."""
    log = world.new_log()
    policy = statement.parse(world.policy_statement(world.policy_record(approvals=policy_approvals)))
    log.append(policy.entry)
    beside: dict[str, Any] = {"approvals": [], "parents": [], "status": []}
    for owner in owners:
        approval = _approval(owner, policy, "policy", policy.id, 0, SET, "urn:exequatur:owner:test", NOW + 10**6)
        beside["approvals"].append(_append(log, approval))
    parent: Statement | None = None
    holder = "requester"
    chain: list[tuple[bytes, bytes, bytes, bytes | None]] = []
    for number, grant in enumerate(grants):
        salt = bytes((number + 100,)) * 16
        descriptor = {"type": "exequatur.grant", "name": "process.exec", "resource": RUNTIME, "args": {}}
        commit = action.commitment(action.ACTION_TAG, salt, action.encode(descriptor))
        sub = f"urn:exequatur:task:{number}"
        request = _request(commit, "exequatur.grant", parent, sub, grant.asked_with or holder, grant.asked)
        log.append(request.entry)
        terms = constraints.encode_terms(Terms(grant.covers, grant.facts))
        links = _links(request, policy, parent)
        for consent in grant.consents:
            approval = _approval(consent, request, "task", commit, 0, sub, "urn:exequatur:approver", NOW + 9000)
            beside["approvals"].append(_append(log, approval))
            links = (*links, Link("approval", approval.id))
        fields = {"uses": 5, "depth": len(grants) - 1 - number or None, **grant.record}
        opened = action.commitment(action.TERMS_TAG, salt, terms)
        fields = {"form": "grant", "action": Action("exequatur.grant", commit), "terms": opened, **fields}
        made = _granted(links, fields)
        signed = _authorization(made, sub, grant.holder, {"exp": NOW + 6000, **grant.claims}, grant.by)
        needed = parent is not None or bool(grant.consents) or made.status is not None
        if grant.with_request is not None:
            needed = grant.with_request
        chain.append((_append(log, signed), salt, terms, request.entry if needed else None))
        parent, holder = signed, grant.holder
    commit = action.commitment(action.ACTION_TAG, world.SALT, action.encode(world.COMMAND))
    request = _request(commit, "process.exec", parent, SUBJECT, asked_with or holder, asked)
    log.append(request.entry)
    links = _links(request, policy, parent)
    for consent in consents:
        approval = _approval(consent, request, "once", commit, 1, SUBJECT, "urn:exequatur:approver", NOW + 600)
        beside["approvals"].append(_append(log, approval))
        links = (*links, Link("approval", approval.id))
    rules = covers or (NARROWER if grants else Constraints())
    terms = constraints.encode_terms(Terms(rules, world.FACTS.measured))
    opened = action.commitment(action.TERMS_TAG, world.SALT, terms)
    place = listed or (None if status is None else entry(7))
    fields = {"uses": 1, "status": place, **record}
    made = _granted(links, {"form": "action", "action": Action("process.exec", commit), "terms": opened, **fields})
    artifact = _authorization(made, SUBJECT, "runtime", claims, "authority")
    lists = [] if status is None else [_status(status, status_by, status_claims)]
    if status_before:
        beside["status"] += [_append(log, item) for item in lists]
    index = log.append(artifact.entry)
    if not status_before:
        beside["status"] += [_append(log, item) for item in lists]
    needed = bool(consents or grants) or made.status is not None
    parts = {
        "artifact": statement.attach(artifact.entry, (log.receipt(index, NOW),)),
        "salt": world.SALT,
        "terms": terms,
        "policy": _element(log, policy.entry),
        "request": _element(log, request.entry) if needed else None,
        "approvals": tuple(_element(log, item) for item in beside["approvals"]),
        "status": tuple(_element(log, item) for item in beside["status"]),
        "parents": tuple(
            Parent(
                _element(log, signed), salt, opened_terms, None if wanted is None else _element(log, wanted)
            )._replace(**grant.part)
            for (signed, salt, opened_terms, wanted), grant in reversed(list(zip(chain, grants, strict=True)))
        ),
        **added,
    }
    for name in left_out:
        parts[name] = None if name == "request" else ()
    return Made(Bundle(**parts), log, artifact, policy)


def proven_again(made: Bundle, log: Log, *, last: bool = False) -> Bundle:
    """Return a bundle whose parts are proven in a log that was changed: each by what stands at its index now.

    ``last``: the grants are the last entries of the log.
    """
    index = len(log.entries) - 2 if last else len(log.entries) - 1 - len(made.status)
    artifact, _ = statement.parse_transparent(made.artifact)

    def again(element: Element | None) -> Element | None:
        if element is None:
            return None
        at = element.positions[log.origin].leaf_index
        return Element(log.entries[at], {log.origin: log.position(at)})

    def above(parent: Parent) -> Parent:
        moved = again(parent.authorization)
        if last:
            at = len(log.entries) - 1
            moved = Element(log.entries[at], {log.origin: log.position(at)})
        assert moved is not None
        return parent._replace(authorization=moved, request=again(parent.request))

    def each(elements: tuple[Element, ...]) -> tuple[Element, ...]:
        return tuple(item for item in map(again, elements) if item is not None)

    return made._replace(
        artifact=statement.attach(artifact.entry, (log.receipt(index, NOW),)),
        policy=again(made.policy),
        request=again(made.request),
        approvals=each(made.approvals),
        status=each(made.status),
        parents=tuple(map(above, made.parents)),
    )


def entry(idx: int) -> StatusEntry:
    """Return the place of an index in the list of these tests."""
    return StatusEntry(LIST, idx)


def status_list(values: Mapping[int, int], bits: int = 2, size: int = 64) -> bytes:
    """Return the packed list of so many statuses, all valid but these."""
    packed = bytearray(size * bits // 8)
    for idx, value in values.items():
        byte, place = divmod(idx * bits, 8)
        packed[byte] |= value << place
    return zlib.compress(bytes(packed), 9)


def _request(
    commit: bytes, kind: str, parent: Statement | None, sub: str, by: str, more: Mapping[str, Any]
) -> Statement:
    links = () if parent is None else (Link("parent", parent.id),)
    made = Request(**{"links": links, "action": Action(kind, commit), "audience": RUNTIME, "claims": {}, **more})
    return _signed(made, Claims("urn:exequatur:requester:test", sub, NOW - 10, _unique(sub, by)), by)


def _approval(
    consent: Consent, of: Statement, scope: str, commit: bytes, uses: int, sub: str, iss: str, exp: int
) -> Statement:
    relation = "policy" if scope == "policy" else "request"
    fields = {"links": (Link(relation, of.id),), "commitment": commit, "scope": scope, "uses": uses, **consent.record}
    claims = {"iss": consent.iss or iss, "sub": sub, "iat": NOW - 5, "exp": exp, **consent.claims}
    return _signed(Approval(**fields), Claims(cti=_unique(sub, consent.by, scope), **claims), consent.by)


def _authorization(made: Authorization, sub: str, holder: str, claims: Mapping[str, Any], by: str) -> Statement:
    fields = {"aud": RUNTIME, "exp": NOW + 300, "nbf": NOW, "cnf": world.signer(holder).public_key.encoded, **claims}
    return _signed(made, Claims(iss=AUTHORITY, sub=sub, iat=NOW, cti=_unique(sub, "granted"), **fields), by)


def _status(fields: Mapping[str, Any], by: str, claims: Mapping[str, Any]) -> Statement:
    made = Status(
        **{
            "links": (),
            "list": LIST,
            "version": 1,
            "next_update": NOW + 3600,
            "bits": 2,
            "packed": status_list({}),
            **fields,
        }
    )
    return _signed(made, Claims(**{"iss": AUTHORITY, "sub": LIST, "iat": NOW, "cti": _unique("status"), **claims}), by)


def _links(request: Statement, policy: Statement, parent: Statement | None) -> tuple[Link, ...]:
    links = (Link("request", request.id), Link("decision", sha256(b"decision").digest()), Link("policy", policy.id))
    return links if parent is None else (*links, Link("parent", parent.id))


def _granted(links: tuple[Link, ...], fields: Mapping[str, Any]) -> Authorization:
    return Authorization(links=links, **{"mode": "enforce", "epoch": Epoch(SET, 1), **fields})


def _signed(record: Record, claims: Claims, by: str) -> Statement:
    return statement.parse(statement.sign(record, claims, world.signer(by)))


def _append(log: Log, signed: Statement) -> bytes:
    log.append(signed.entry)
    return signed.entry


def _element(log: Log, entry: bytes) -> Element:
    return Element(entry, {log.origin: log.position(log.entries.index(entry))})


def _unique(*names: str) -> bytes:
    return sha256(" ".join(names).encode()).digest()[:16]
