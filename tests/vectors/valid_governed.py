"""The vectors that are admitted with something beside the artifact: approvals, owners, grants, status lists, modes."""

from typing import Any

from exequatur_verifier.bundle import Bundle
from exequatur_verifier.memory import KnownPolicy
from exequatur_verifier.records import Epoch
from tests.support import governed as scene
from tests.support import world
from tests.support.governed import Consent, Grant, status_list
from tests.support.world import NOW
from tests.vectors.form import Vector
from tests.vectors.valid import VALID, valid, vector

# All that is admitted is registered once this module has been imported.
__all__ = ["LISTED", "NEEDED", "VALID", "governed", "remembering", "sound", "two_of"]

NEEDED = "[approvals]\nrequired = { 'process.exec' = 1 }\n"
LISTED = "[status]\nrequired = ['process.exec']\n"


def sound(**parts: Any) -> Bundle:
    """Return the bundle of ``governed.build``."""
    return scene.build(**parts).bundle


def governed(trust: str = "", policy: str = "", **parts: Any) -> Vector:
    """Return the vector of such a bundle; ``trust`` and ``policy`` add to the trust policy and to its policy table."""
    made = scene.build(**parts)
    return vector(made.bundle, scene.trust(made.log, extra=trust, policy=policy))


def remembering(made: Vector, **memory: Any) -> Vector:
    """Return a vector with a memory of no head."""
    return made._replace(memory=world.memory(**memory))


@valid
def approved() -> Vector:
    """Trust asks for an approval, and a trusted approver gave it."""
    return governed(NEEDED, consents=[Consent()])


@valid
def approved_twice() -> Vector:
    """Policy asks for two approvals, and two approvers gave them, one of them for several uses."""
    second = Consent("second", record={"scope": "uses", "uses": 3})
    return governed(consents=[Consent(), second], policy_approvals=2)


@valid
def approved_until() -> Vector:
    """An approval for any number of uses until it expires covers several uses."""
    return governed(NEEDED, consents=[Consent(record={"scope": "until", "uses": 0})], record={"uses": 9})


@valid
def approved_beyond_need() -> Vector:
    """An approval that nobody asked for is checked, and does no harm."""
    return governed(consents=[Consent()])


@valid
def break_glass() -> Vector:
    """Trust opts into break-glass, and asks for an approval of it."""
    extra = "[modes]\nbreak-glass = ['process.exec']\n[approvals]\nmodes = { break-glass = 1 }\n"
    return governed(extra, consents=[Consent()], record={"mode": "break-glass"})


@valid
def observed() -> Vector:
    """Trust opts into observe mode."""
    return governed("[modes]\nobserve = ['process.exec']\n", record={"mode": "observe"})


@valid
def two_owners() -> Vector:
    """Trust asks for two of the policy's owners: one signed the record, the other an approval of it."""
    made = scene.build(owners=[Consent("second-owner")])
    return vector(made.bundle, two_of(scene.trust(made.log)))


@valid
def an_owner_too_many() -> Vector:
    """An approval of the policy by a key that is no owner's is ignored and listed."""
    return governed(owners=[Consent("second-owner")])


def two_of(trust: str) -> str:
    """Return a trust policy that names two owners and asks for both."""
    one, two = (world.text_key(world.signer(name)) for name in ("owner", "second-owner"))
    return trust.replace(f'owners = ["{one}"]', f'owners = ["{one}", "{two}"]\nthreshold = 2')


@valid
def delegated() -> Vector:
    """The action was asked for with the key that a grant is bound to, and is within the grant."""
    return governed(grants=[Grant()])


@valid
def delegated_twice() -> Vector:
    """Two grants above the action, each narrower than the one before."""
    first, second = Grant(facts={"host": "build-1"}), Grant("helper", scene.NARROWER, facts={"host": "build-1"})
    return governed(grants=[first, second])


@valid
def approved_task() -> Vector:
    """The approval of the task that a grant is for counts for what is done under it."""
    return governed(NEEDED, grants=[Grant(consents=[Consent()], record={"approvals": 1})])


@valid
def listed() -> Vector:
    """A status list says that the artifact stands; another index of it is revoked."""
    return governed(LISTED, status={"packed": status_list({6: 1, 8: 2})})


@valid
def listed_before() -> Vector:
    """The status list stands before the artifact in the log, and is the one that the runtime remembers."""
    made = governed(LISTED, status={"version": 4}, status_before=True)
    return remembering(made, statuses={scene.LIST: 4})


@valid
def others_revoked() -> Vector:
    """Other subjects, policies, keys and epochs are revoked by name."""
    names = {
        "subjects": ("urn:exequatur:requester:other",),
        "policies": (bytes(32),),
        "keys": (bytes(32),),
        "epochs": (Epoch(scene.SET, 0), Epoch("urn:exequatur:policy:other", 9)),
    }
    return governed(LISTED, status=names)


@valid
def grant_listed() -> Vector:
    """The grant above the action stands in the status list too."""
    grant = Grant(record={"status": scene.entry(9)})
    return governed(LISTED, status={}, grants=[grant])


@valid
def grant_listed_alone() -> Vector:
    """Who asked for the grant is not shown, and its list revokes nobody by name."""
    grant = Grant(record={"status": scene.entry(9)}, with_request=False)
    return governed(LISTED, status={}, grants=[grant])


@valid
def approvals_remembered() -> Vector:
    """The remembered policy asks for an approval, which is there; the policy is not in the bundle."""
    made = scene.build(consents=[Consent()])
    known = KnownPolicy(
        made.policy.id, world.signer("owner").public_key.thumbprint, scene.SET, 1, NOW - 1000, approvals=1
    )
    shown = vector(made.bundle._replace(policy=None), scene.trust(made.log))
    return remembering(shown, policies={known.id: known})
