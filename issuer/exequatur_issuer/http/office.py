"""The office: what the service asks of an authority, and what it makes of its answers. It works behind the desk.

answer     requests for artifacts: a bundle, a logged denial, a wait for approvals, or a refusal without a decision
plan       what the decision would be, with nothing signed and nothing logged
request    a request of the authority's own key, for an agent that cannot sign
approve    a signed approval, for the log
keep       the status lists that are in use, from lapsing
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from exequatur_issuer import principals, rehearsal
from exequatur_issuer.artifact import make_authorization, narrow
from exequatur_issuer.asked import Asked, Case, Refused, RuntimeIdentity
from exequatur_issuer.authorize import Authority, Issued
from exequatur_issuer.cedar import CedarEngine
from exequatur_issuer.decide import InForce, decide, explain
from exequatur_issuer.explaining import near_misses
from exequatur_issuer.lists import StatusLists
from exequatur_issuer.log import Log, Refusal, Registered, Standing
from exequatur_issuer.modes import for_policy
from exequatur_issuer.request import Disclosure, sign_request
from exequatur_verifier import statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import ExequaturError, MalformedError, NotProvenError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Decision, Enrolment, Kind, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Statement

from .asked import Form
from .waiting import Approvals


class Ports(NamedTuple):
    """What an office is connected to.

    ``authority`` opens the authority under the policy in force at a time, and may keep it. ``runtime`` finds one by its
    id or its name in the settings, ``enrolment`` the newest of a key by its thumbprint, ``signer`` a key by the name of
    its file. ``unique`` makes 16 random bytes.
    """

    authority: Callable[[int], Authority]
    log: Log
    runtime: Callable[[str], RuntimeIdentity | None]
    enrolment: Callable[[bytes], Enrolment | None]
    signer: Callable[[str], Signer]
    unique: Callable[[], bytes]
    clock: Callable[[], int]
    close: Callable[[], None]
    disclosure: Disclosure = "commitment"
    approvals: Approvals | None = None
    lists: StatusLists | None = None


class Logged(NamedTuple):
    """A decision as it stands in the log, with its frozen receipt."""

    statement: bytes
    receipt: bytes


class Denied(NamedTuple):
    """A logged denial: the request's record id, the decision, and what is said of it."""

    request: bytes
    refused: Refused
    policies: tuple[str, ...]
    logged: Logged
    near: tuple[str, ...]


class Waiting(NamedTuple):
    """A logged decision, and approvals that are asked for."""

    request: bytes
    refused: Refused
    policies: tuple[str, ...]
    logged: Logged


class Plan(NamedTuple):
    """What would be decided now: the decision, the reasons, the commitment, and what an artifact would grant."""

    outcome: str
    code: str | None
    policies: tuple[str, ...]
    explanation: tuple[str, ...]
    commitment: bytes
    policy: bytes
    epoch: int
    now: int
    approvals: int
    ttl: int | None
    uses: int | None


class Question(NamedTuple):
    """What an agent asks for that signs nothing itself: under which name, with which key, for whom, where, and what."""

    requester: str
    key: str
    runtime: str
    user: str | None
    descriptor: Descriptor


Answered = Issued | Denied | Waiting | Refused


class UnknownRuntimeError(ExequaturError):
    """The settings of an agent name a runtime that the authority does not have."""


class Office:
    """An authority at work; one thread's."""

    def __init__(self, ports: Ports) -> None:
        self.ports: Final = ports
        self._signers: Final[dict[str, Signer]] = {}

    def close(self) -> None:
        """Let go of the authority's stores."""
        self.ports.close()

    def asked(self, form: Form) -> Asked | Refused:
        """Return what was posted, for the runtime that is enrolled here; or why nothing is issued for that one."""
        name, key, heads = form.runtime
        found = self.ports.runtime(name)
        if found is None or found.id != name:
            return Refused("RUNTIME_UNKNOWN", f"nothing is issued for {name} here; enrol the runtime first")
        if key not in (None, found.key):
            return Refused("RUNTIME_UNKNOWN", f"{name} has another key here; enrol the runtime again")
        runtime = found._replace(heads=heads)
        return Asked(form.request, form.salt, form.descriptor, form.facts, runtime, form.ttl, form.uses)

    def answer(self, batch: Sequence[Form]) -> list[Answered]:
        """Answer what was posted, in order. Raises what ``Authority`` raises."""
        asked = [self.asked(form) for form in batch]
        answers = iter(self.authorize([one for one in asked if isinstance(one, Asked)]))
        return [next(answers) if isinstance(one, Asked) else one for one in asked]

    def authorize(self, batch: Sequence[Asked]) -> list[Answered]:
        """Answer requests, in order. Raises what ``Authority`` raises."""
        if not batch:
            return []
        now = self.ports.clock()
        authority = self.ports.authority(now)
        results = authority.authorize_many(batch, now=now)
        return [self._judged(asked, result, authority) for asked, result in zip(batch, results, strict=True)]

    def plan(self, form: Form) -> Plan | Refused:
        """Return what would be decided on a request of an enrolled key, or of a grant's; its signature is checked."""
        now = self.ports.clock()
        authority = self.ports.authority(now)
        asked = self.asked(form)
        case = authority.open(asked, now) if isinstance(asked, Asked) else asked
        if isinstance(case, Refused):
            return case
        asked = case.asked
        record = case.request.record
        assert isinstance(record, Request)
        refused = self._misnamed(case) if case.grants else self._unenrolled(case.request, record)
        if refused is not None:
            return refused
        policy = authority.policy
        decided = decide(case.request, asked.salt, asked.descriptor, policy, now, above=case.above)
        granted = None
        if decided.obligations is not None:
            # The artifact as it would be, but for its decision and whoever signs it.
            ceiling = narrow(case, decided.obligations, now)
            granted = make_authorization(asked, case.request, bytes(32), policy, ceiling, (), now, "plan")
        return Plan(
            outcome=decided.record.outcome,
            code=decided.record.code,
            policies=decided.record.reasons,
            explanation=explain(decided.answer),
            commitment=record.action.commitment,
            policy=policy.statement.id,
            epoch=policy.record.epoch,
            now=now,
            approvals=0 if decided.obligations is None else decided.obligations.approvals,
            ttl=None if granted is None else (granted[1].exp or now) - now,
            uses=None if granted is None else granted[0].uses,
        )

    def request(self, question: Question) -> Asked:
        """Return a request for an agent, signed here, with what opens it.

        Raises ``UnknownRuntimeError``, and what loading its key raises.
        """
        runtime = self.ports.runtime(question.runtime)
        if runtime is None:
            raise UnknownRuntimeError(f"the settings name the runtime {question.runtime!r}, which is not enrolled")
        if question.key not in self._signers:
            self._signers[question.key] = self.ports.signer(question.key)
        salt = self.ports.unique()
        signed = sign_request(
            question.descriptor,
            self._signers[question.key],
            iss=question.requester,
            audience=runtime.id,
            subject=UUID(bytes=self.ports.unique()).urn,
            unique=self.ports.unique(),
            salt=salt,
            now=self.ports.clock(),
            claims={} if question.user is None else {principals.USER: question.user},
            disclosure=self.ports.disclosure,
        )
        return Asked(signed, salt, question.descriptor, {}, runtime)

    def policies(self, decision: bytes) -> tuple[str, ...]:
        """Return the policies that a logged decision rests on."""
        index = self.ports.log.find(decision)
        record = None if index is None else statement.parse(self.ports.log.entry(index)).record
        return record.reasons if isinstance(record, Decision) else ()

    def approve(self, data: bytes) -> Registered | Standing | Refusal:
        """Have an approval registered, whose signature and enrolment the log checks; raise ``MalformedError``."""
        approval = statement.parse(data)
        if approval.kind is not Kind.APPROVAL:
            raise MalformedError(f"this is a {approval.kind.value}, and an approval is what is posted here")
        (answer,) = self.ports.log.register([data])
        return answer

    def keep(self) -> None:
        """Publish the status lists in use again that are half over; raise what ``StatusLists`` does."""
        now, lists = self.ports.clock(), self.ports.lists
        if lists is not None:
            lists.fresh(lists.in_use(now), now)

    def _judged(self, asked: Asked, result: Issued | Refused, authority: Authority) -> Answered:
        if isinstance(result, Issued) or result.decision is None:
            return result
        index = self.ports.log.find(result.decision)
        if index is None:
            raise NotProvenError(f"the decision {result.decision.hex()} was logged, and is not in the log")
        entry = self.ports.log.entry(index)
        record = statement.parse(entry).record
        assert isinstance(record, Decision)
        if record.outcome == "allow" or result.code == "EXPIRED":
            # Decided well, and yet no artifact: one that conflicts, that the log refused, or that came too late.
            return result
        (answer,) = self.ports.log.register([entry])
        if not isinstance(answer, Registered):
            raise NotProvenError(f"the log refuses the very decision that it holds, {result.decision.hex()}")
        request = next(link.id for link in record.links if link.relation == "request")
        logged = Logged(entry, answer.receipt)
        # Policy asks for approvals, or a mode does where policy denies.
        if result.code == "APPROVAL_MISSING":
            return Waiting(request, result, record.reasons, logged)
        case = authority.open(asked, record.now)
        near = _near_misses(case, authority.policy, record.now) if isinstance(case, Case) else ()
        return Denied(request, result, record.reasons, logged, near)

    def _misnamed(self, case: Case) -> Refused | None:
        """Return why a request under a grant would not be registered; who signed it was checked (L-23)."""
        enrolment, asked = self.ports.enrolment(case.request.key_id), case.grants[0].asked
        names = {
            None if enrolment is None else enrolment.iss,
            None if asked is None else statement.parse(asked).claims.iss,
        }
        if case.request.claims.iss in names:
            return None
        return Refused("ISSUER_MISMATCH", "the request is neither in its holder's name nor in that of who passed it on")

    def _unenrolled(self, request: Statement, record: Request) -> Refused | None:
        """Return why a request would not be registered, as far as its signer goes; ``None`` if it would."""
        enrolment = self.ports.enrolment(request.key_id)
        if enrolment is None or enrolment.key is None:
            return Refused("UNKNOWN_KEY", "the request is signed with a key that is not enrolled")
        if Kind.REQUEST not in enrolment.kinds or record.action.type not in enrolment.actions:
            return Refused("ACTION_NOT_ENROLLED", "the key of the request may not make requests of this type")
        if enrolment.iss != request.claims.iss:
            return Refused("ISSUER_MISMATCH", "the key of the request is enrolled under another name")
        try:
            statement.verify(request, PublicKey(dict(enrolment.key)))
        except NotProvenError:
            return Refused("SIGNATURE_INVALID", "the signature of the request does not hold")
        return None


def _near_misses(case: Case, policy: InForce, now: int) -> tuple[str, ...]:
    """Return what of a denied request would have to be otherwise, in sentences, the nearest first."""
    if not isinstance(policy.engine, CedarEngine):
        return ()
    record = case.request.record
    assert isinstance(record, Request)
    question = rehearsal.Question(case.asked.descriptor, case.request.claims.iss, now, for_policy(record.claims))
    return tuple(near.sentence() for near in near_misses(question, policy, policy.engine))
