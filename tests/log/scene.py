"""A log to test: deterministic keys, a clock that stands still, and the records of one execution."""

from collections.abc import Iterator
from hashlib import sha256
from itertools import count
from typing import Any

from exequatur_log.blocking import BlockingLog
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused
from exequatur_log.genesis import sign_enrolment, sign_genesis
from exequatur_log.head import LogKeys
from exequatur_log.storage.place import Place, Postgres
from exequatur_verifier import merkle, receipt, statement
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import (
    Action,
    Approval,
    Authorization,
    Decision,
    Enforcement,
    Engine,
    Epoch,
    Kind,
    Link,
    Links,
    Outcome,
    Policy,
    Record,
    Request,
    Status,
    Verification,
)
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.statement import Claims
from tests.support import world
from tests.support.world import signer

NOW = world.NOW
ORIGIN = "log.example/scene"
KEYS = LogKeys(signer("scene receipts"), signer("scene checkpoints", Algorithm.ED25519), "https://log.example", ORIGIN)
OPERATOR = signer("scene operator")
REQUESTER = signer("scene requester")
AUTHORITY = signer("scene authority")
OWNER = signer("scene owner")
RUNTIME = signer("scene runtime")
ISSUERS = {
    REQUESTER: ("urn:scene:requester", (Kind.REQUEST,)),
    AUTHORITY: ("urn:scene:authority", (Kind.DECISION, Kind.AUTHORIZATION, Kind.ENROLMENT, Kind.ENFORCEMENT)),
    OWNER: ("urn:scene:owner", (Kind.POLICY,)),
}
APPROVER = signer("scene approver")
SECOND_APPROVER = signer("scene second approver")
SECOND_OWNER = signer("scene second owner")
# Who enters with ``enrol_further`` only.
FURTHER = {
    APPROVER: ("urn:scene:approver", (Kind.APPROVAL,)),
    SECOND_APPROVER: ("urn:scene:approver:2", (Kind.APPROVAL,)),
    SECOND_OWNER: ("urn:scene:owner:2", (Kind.POLICY, Kind.APPROVAL)),
    # As they were, and for grants and status lists as well.
    REQUESTER: ISSUERS[REQUESTER],
    AUTHORITY: ("urn:scene:authority", (*ISSUERS[AUTHORITY][1], Kind.STATUS, Kind.APPROVAL)),
    OWNER: ("urn:scene:owner", (Kind.POLICY, Kind.APPROVAL)),
}
POLICY_SET = "urn:scene:policy"
TYPE = "process.exec"
GRANT = "exequatur.grant"

_numbers = count()


def unique() -> bytes:
    """Return 16 bytes that no other call returns."""
    return sha256(f"scene {next(_numbers)}".encode()).digest()[:16]


def digest(name: str) -> bytes:
    return sha256(name.encode()).digest()


def record_id(data: bytes) -> bytes:
    return statement.parse(data).id


def genesis(keys: LogKeys = KEYS, now: int = NOW) -> bytes:
    return sign_genesis(OPERATOR, keys, now=now, unique=unique())


def enrolment(key: LocalSigner, iss: str, kinds: tuple[Kind, ...], **changes: Any) -> bytes:
    by = changes.pop("by", OPERATOR)
    terms = {"enroller": KEYS.iss, "now": NOW, "actions": (TYPE,), **changes}
    return sign_enrolment(by, key.public_key, iss=iss, kinds=kinds, unique=unique(), **terms)


def enrolments() -> list[bytes]:
    """Return the enrolments of the scene's issuers; the runtime has none, its key stands in each authorization."""
    return [enrolment(key, iss, kinds) for key, (iss, kinds) in ISSUERS.items()]


def enrol_further(log: BlockingLog) -> None:
    """Enrol approvers and a second owner, and all issuers for grants and status lists."""
    answers = log.register_many(
        [enrolment(key, iss, kinds, actions=(TYPE, GRANT)) for key, (iss, kinds) in FURTHER.items()]
    )
    assert all(isinstance(answer, Registered) for answer in answers)


def sign(record: Record, key: LocalSigner, sub: str, **claims: Any) -> bytes:
    iss = next((known[key][0] for known in (ISSUERS, FURTHER) if key in known), "urn:scene:runtime")
    return statement.sign(record, Claims(claims.pop("iss", iss), sub, claims.pop("iat", NOW), unique(), **claims), key)


def subject() -> str:
    return f"urn:scene:{unique().hex()}"


def request(sub: str | None = None, *, key: LocalSigner = REQUESTER, **changes: Any) -> bytes:
    claims = {name: changes.pop(name) for name in ("iss", "iat") if name in changes}
    fields = {"links": (), "action": Action(TYPE, digest("action")), "audience": "urn:scene:runtime", "claims": {}}
    return sign(Request(**{**fields, **changes}), key, sub or subject(), **claims)


def policy(epoch: int = 1, previous: bytes | None = None, name: str = POLICY_SET) -> bytes:
    links: Links = () if previous is None else (Link("previous", record_id(previous)),)
    sources, schema, entities, mapping = (digest(part) for part in ("sources", "schema", "entities", "mapping"))
    return sign(Policy(links, name, epoch, "cedar", sources, schema, entities, mapping, NOW), OWNER, name)


def decision(sub: str, links: Links, outcome: str = "allow") -> bytes:
    record = Decision(links, outcome, ("permit",), (), Engine("cedar", "4"), digest("query"), NOW)
    return sign(record, AUTHORITY, sub)


def authorization(sub: str, links: Links, **changes: Any) -> bytes:
    holder = changes.pop("holder", RUNTIME)
    fields = {
        "links": links,
        "form": "action",
        "mode": "enforce",
        "action": Action(TYPE, digest("action")),
        "terms": digest("terms"),
        "uses": 1,
        "epoch": Epoch(POLICY_SET, 1),
    }
    claims = {"aud": "urn:scene:runtime", "exp": NOW + 300, "nbf": NOW, "cnf": holder.public_key.encoded}
    claims |= {name: changes.pop(name) for name in ("iat", "aud", "exp", "nbf") if name in changes}
    return sign(Authorization(**{**fields, **changes}), AUTHORITY, sub, **claims)


def approval(sub: str, target: Link, *, key: LocalSigner = APPROVER, exp: int = NOW + 300, **changes: Any) -> bytes:
    """Return an approval of a request, or, with ``scope`` and ``commitment``, of a policy record."""
    claims = {"iss": changes.pop("iss")} if "iss" in changes else {}
    fields = {"links": (target,), "commitment": digest("action"), "scope": "once", "uses": 1}
    return sign(Approval(**{**fields, **changes}), key, sub, exp=exp, **claims)


def status(name: str, version: int = 1, previous: bytes | None = None, **changes: Any) -> bytes:
    claims = {field: changes.pop(field) for field in ("iss", "iat") if field in changes}
    key, sub = changes.pop("key", AUTHORITY), changes.pop("sub", name)
    links: Links = () if previous is None else (Link("previous", record_id(previous)),)
    fields = {"links": links, "list": name, "version": version, "next_update": NOW + 60, "bits": 2, "packed": b""}
    return sign(Status(**{**fields, **changes}), key, sub, **claims)


def verification(sub: str, links: Links, *, key: LocalSigner = RUNTIME, seq: int = 1, **claims: Any) -> bytes:
    record = Verification(links, seq, None, ((0, "ok"),), digest("facts"), (), digest("trust"), (), "protected", 1)
    return sign(record, key, sub, **claims)


def outcome(sub: str, links: Links, *, key: LocalSigner = RUNTIME, seq: int = 2) -> bytes:
    return sign(Outcome(links, seq, None, "exited", code=0), key, sub)


def enforcement(sub: str, links: Links, *, key: LocalSigner = RUNTIME, seq: int = 3) -> bytes:
    return sign(Enforcement(links, seq, None, "deny", "EXPIRED"), key, sub)


class Case:
    """One execution's records, signed and linked, from a policy record on."""

    def __init__(self, policy_record: bytes) -> None:
        self.sub = subject()
        self.policy = policy_record
        self.request = request(self.sub)
        self.asked = (Link("request", record_id(self.request)), Link("policy", record_id(policy_record)))
        self.decision = decision(self.sub, self.asked)
        self.decided = (self.asked[0], Link("decision", record_id(self.decision)), self.asked[1])
        self.authorization = authorization(self.sub, self.decided)
        self.authorized = (Link("authorization", record_id(self.authorization)),)
        self.verification = verification(self.sub, self.authorized)
        self.verified = (Link("verification", record_id(self.verification)),)
        self.outcome = outcome(self.sub, self.verified)

    def __iter__(self) -> Iterator[bytes]:
        yield from (self.request, self.decision, self.authorization, self.verification, self.outcome)


class Approved(Case):
    """A case whose request was approved; the decision and the authorization rest on these approvals."""

    def __init__(self, policy_record: bytes, *given: dict[str, Any], outcome: str = "allow", **changes: Any) -> None:
        super().__init__(policy_record)
        if "action" in changes:
            self.request = request(self.sub, action=changes["action"])
            self.asked = (Link("request", record_id(self.request)), self.asked[1])
        self.approvals = [approval(self.sub, self.asked[0], **one) for one in given]
        self.consents = tuple(Link("approval", record_id(one)) for one in self.approvals)
        self.rest(outcome=outcome, **changes)

    def rest(self, *consents: Link, outcome: str = "allow", **changes: Any) -> None:
        """Decide again, and authorize, by these approvals, or by all."""
        rests_on = consents or self.consents
        self.decision = decision(self.sub, (*self.asked, *rests_on), outcome)
        self.decided = (self.asked[0], Link("decision", record_id(self.decision)), self.asked[1])
        self.authorization = authorization(self.sub, (*self.decided, *rests_on), **changes)

    def __iter__(self) -> Iterator[bytes]:
        yield from (self.request, *self.approvals, self.decision, self.authorization)


def refused(log: BlockingLog, entry: bytes) -> Code:
    """Return the code that a log refuses a statement with, which it explains."""
    (answer,) = log.register_many([entry])
    assert isinstance(answer, Refused)
    assert len(answer.detail) > 20
    return answer.code


def create(place: Place, now: int = NOW) -> BlockingLog:
    """Make a log with the scene's issuers enrolled, and open it."""
    log = BlockingLog.create(place, genesis(now=now), KEYS, clock=lambda: now)
    log.register_many(enrolments())
    return log


def reopen(place: Place, now: int = NOW) -> BlockingLog:
    return BlockingLog.open(place, KEYS, clock=lambda: now)


def spelled(place: Place) -> str:
    """Return the text that ``place.parse`` takes."""
    return place.url if isinstance(place, Postgres) else str(place)


def check_receipt(encoded: bytes, entry: bytes, index: int) -> receipt.Receipt:
    """Verify a receipt as anybody would, with the kernel; return it."""
    parsed = receipt.parse(encoded)
    root = receipt.root(parsed, merkle.leaf_hash(entry))
    receipt.verify_head(parsed.protected, parsed.signature, root, KEYS.receipt.public_key)
    assert parsed.inclusion.leaf_index == index
    return parsed


def check_receipt_of(encoded: bytes, entry: bytes) -> int:
    """Verify a receipt of an entry wherever it stands; return the index."""
    index = receipt.parse(encoded).inclusion.leaf_index
    check_receipt(encoded, entry, index)
    return index
