"""Vectors that steps 11 and 12 deny for want of consent (V-37 to V-42)."""

from exequatur_verifier import Code
from exequatur_verifier.records import Link
from tests.support import governed as scene
from tests.support import world
from tests.support.governed import Consent, Grant
from tests.support.world import NOW
from tests.vectors.flip import denied
from tests.vectors.form import Vector
from tests.vectors.valid import vector
from tests.vectors.valid_governed import NEEDED, governed, sound, two_of


@denied(Code.POLICY_UNTRUSTED)
def one_owner_of_two() -> Vector:
    # V-37
    """Trust asks for two of the policy's owners, and one signed it."""
    made = scene.build()
    return vector(made.bundle, two_of(scene.trust(made.log)))


@denied(Code.POLICY_UNTRUSTED)
def owner_twice() -> Vector:
    # V-37
    """Trust asks for two owners, and the first one signed an approval of his own record."""
    made = scene.build(owners=[Consent("owner")])
    return vector(made.bundle, two_of(scene.trust(made.log)))


@denied(Code.POLICY_UNTRUSTED)
def owners_other_scope() -> Vector:
    # V-37
    """The second owner's approval has another scope."""
    made = scene.build(owners=[Consent("second-owner", record={"scope": "until"})])
    return vector(made.bundle, two_of(scene.trust(made.log)))


@denied(Code.POLICY_UNTRUSTED)
def owners_approval_expired() -> Vector:
    # V-37
    """The second owner's approval has expired."""
    made = scene.build(owners=[Consent("second-owner", claims={"exp": NOW - 60})])
    return vector(made.bundle, two_of(scene.trust(made.log)))


@denied(Code.POLICY_UNTRUSTED)
def owners_approval_not_logged() -> Vector:
    # V-37
    """The second owner's approval stands at an index whose entry it is not."""
    made = scene.build(owners=[Consent("second-owner")])
    (given,) = made.bundle.approvals
    assert made.bundle.policy is not None
    moved = given._replace(positions=made.bundle.policy.positions)
    return vector(made.bundle._replace(approvals=(moved,)), two_of(scene.trust(made.log)))


@denied(Code.APPROVAL_MISSING)
def no_approval() -> Vector:
    # V-42
    """Trust asks for an approval, and there is none."""
    return governed(NEEDED)


@denied(Code.APPROVAL_MISSING)
def approvals() -> Vector:
    # V-42
    """The artifact itself demands two approvals, and there is one."""
    return governed(consents=[Consent()], record={"approvals": 2})


@denied(Code.APPROVAL_MISSING)
def approvals_of_the_policy() -> Vector:
    # V-42
    """The policy demands an approval, though the artifact does not."""
    return governed(policy_approvals=1)


@denied(Code.APPROVAL_MISSING)
def approvals_of_the_mode() -> Vector:
    # V-42
    """Trust opts into break-glass with an approval, and there is none."""
    extra = "[modes]\nbreak-glass = ['process.exec']\n[approvals]\nmodes = { break-glass = 1 }\n"
    return governed(extra, record={"mode": "break-glass"})


@denied(Code.APPROVAL_MISSING)
def approvals_of_a_grant() -> Vector:
    # V-42
    """The grant above the action demands an approval, and there is none."""
    return governed(grants=[Grant(record={"approvals": 1})])


@denied(Code.APPROVAL_MISSING)
def approval_linked() -> Vector:
    # V-38
    """The artifact links an approval that is not in the bundle."""
    return governed(consents=[Consent()], left_out=("approvals",))


@denied(Code.APPROVAL_INVALID)
def approval_without_request() -> Vector:
    # V-41
    """The request is not in the bundle, so that nobody can tell who asked."""
    return governed(consents=[Consent()], left_out=("request",))


@denied(Code.APPROVAL_INVALID)
def approval_of_another_request() -> Vector:
    # V-39
    """The approval is of another request."""
    return governed(consents=[Consent(record={"links": (Link("request", bytes(32)),)})])


@denied(Code.APPROVAL_INVALID)
def approval_of_another_action() -> Vector:
    # V-39
    """The approval names another action's digest."""
    return governed(consents=[Consent(record={"commitment": bytes(32)})])


@denied(Code.APPROVAL_INVALID)
def approval_of_another_execution() -> Vector:
    # V-39
    """The approval belongs to another execution."""
    return governed(consents=[Consent(claims={"sub": "urn:exequatur:case:other"})])


@denied(Code.APPROVAL_INVALID)
def approval_once() -> Vector:
    # V-39
    """The approval is for one use, the artifact for two."""
    return governed(consents=[Consent()], record={"uses": 2})


@denied(Code.APPROVAL_INVALID)
def approval_uses() -> Vector:
    # V-39
    """The approval is for two uses, the artifact for three."""
    return governed(consents=[Consent(record={"scope": "uses", "uses": 2})], record={"uses": 3})


@denied(Code.APPROVAL_INVALID)
def approval_of_a_task() -> Vector:
    # V-39
    """The approval is of a task, and what it is of is an action."""
    return governed(consents=[Consent(record={"scope": "task"})])


@denied(Code.APPROVAL_INVALID)
def approval_of_a_grant() -> Vector:
    # V-39
    """The approval of the grant is for one action, and not for a task."""
    return governed(grants=[Grant(consents=[Consent(record={"scope": "once", "uses": 1})])])


@denied(Code.APPROVAL_INVALID)
def approval_expires() -> Vector:
    # V-39
    """The approval expires a second before the artifact."""
    return governed(consents=[Consent(claims={"exp": NOW + 299})])


@denied(Code.APPROVAL_INVALID)
def approval_by_a_stranger() -> Vector:
    # V-40
    """The approval is by a key that trust names for nobody."""
    return governed(consents=[Consent("stranger")])


@denied(Code.APPROVAL_INVALID)
def approval_under_another_name() -> Vector:
    # V-40
    """The approver's key signed under another name."""
    return governed(consents=[Consent(iss="urn:exequatur:approver:other")])


@denied(Code.APPROVAL_INVALID)
def approval_of_another_type() -> Vector:
    # V-40
    """The approver is trusted for another type of action."""
    made = scene.build(consents=[Consent()])
    trust = scene.trust(made.log).replace('actions = ["process.exec", "exequatur.grant"]', 'actions = ["mcp.tool"]')
    return vector(made.bundle, trust)


@denied(Code.APPROVAL_INVALID)
def approval_too_late() -> Vector:
    # V-40
    """The approver's key was trusted up to an index before the approval's."""
    made = scene.build(consents=[Consent()])
    trust = scene.trust(made.log).replace('"exequatur.grant"]\n', '"exequatur.grant"]\nuntil = 5\n')
    return vector(made.bundle, trust)


@denied(Code.APPROVAL_INVALID)
def approval_signature() -> Vector:
    # V-40
    """The approval's signature is another's."""
    made = scene.build(consents=[Consent()])
    (given,) = made.bundle.approvals
    broken = given.statement[:-1] + bytes((given.statement[-1] ^ 1,))
    # The log holds the broken bytes too, so that only the signature has a reason to deny.
    made.log.entries[made.log.entries.index(given.statement)] = broken
    return vector(scene.proven_again(made.bundle, made.log), scene.trust(made.log))


@denied(Code.APPROVAL_INVALID)
def approval_not_logged() -> Vector:
    # V-40
    """The approval stands at an index whose entry it is not."""
    made = sound(consents=[Consent()])
    (given,) = made.approvals
    assert made.request is not None
    return governed(consents=[Consent()], added={"approvals": (given._replace(positions=made.request.positions),)})


@denied(Code.APPROVAL_INVALID)
def approval_of_no_log() -> Vector:
    # V-40
    """The approval says of no log where it stands."""
    (given,) = sound(consents=[Consent()]).approvals
    return governed(consents=[Consent()], added={"approvals": (given._replace(positions={}),)})


@denied(Code.APPROVAL_INVALID)
def approval_path_too_long() -> Vector:
    # V-40
    """The approval's path has a hash more than its index allows."""
    made = sound(consents=[Consent()])
    (given,) = made.approvals
    longer = {name: at._replace(path=(*at.path, bytes(32))) for name, at in given.positions.items()}
    return governed(consents=[Consent()], added={"approvals": (given._replace(positions=longer),)})


@denied(Code.TIME_IN_FUTURE)
def approval_in_the_future() -> Vector:
    """The approval was signed after the time of the clock and the leeway."""
    return governed(consents=[Consent(claims={"iat": NOW + 100})])


@denied(Code.APPROVAL_INVALID)
def approval_by_the_requester() -> Vector:
    # V-41
    """Who asked for it approved it."""
    return governed(consents=[Consent()], asked_with="approver")


@denied(Code.APPROVAL_INVALID)
def approval_under_the_requesters_name() -> Vector:
    # V-41
    """Who asked for it approved it with another key."""
    return _under("urn:exequatur:requester:test")


@denied(Code.APPROVAL_INVALID)
def approval_under_the_authoritys_name() -> Vector:
    # V-41
    """Who decided it approved it with another key."""
    return _under(scene.AUTHORITY)


@denied(Code.APPROVAL_INVALID)
def approval_twice_by_one() -> Vector:
    # V-41
    """Both approvals are by one key."""
    return governed(consents=[Consent(), Consent(record={"scope": "until", "uses": 0})], policy_approvals=2)


@denied(Code.APPROVAL_INVALID)
def approval_by_the_authority() -> Vector:
    # V-41
    """The authority approved what it decided itself."""
    return _with_approver("authority")


@denied(Code.APPROVAL_INVALID)
def approval_by_the_runtime() -> Vector:
    # V-41
    """The runtime approved what it carries out itself."""
    return _with_approver("runtime")


def _under(iss: str) -> Vector:
    """Return the vector of an approval under a name that trust names as an approver's."""
    made = scene.build(consents=[Consent(iss=iss)])
    return vector(made.bundle, scene.trust(made.log).replace('iss = "urn:exequatur:approver"', f'iss = "{iss}"'))


def _with_approver(name: str) -> Vector:
    """Return the vector of an approval by a key that trust names as an approver's."""
    made = scene.build(consents=[Consent(name)])
    known, added = (world.text_key(world.signer(one)) for one in ("late", name))
    return vector(made.bundle, scene.trust(made.log).replace(known, added))
