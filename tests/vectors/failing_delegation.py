"""Vectors that step 13 denies: a chain that is broken, or wider at its end than above (V-43 to V-47)."""

from typing import Any

from exequatur_verifier import Code, cbor
from exequatur_verifier.constraints import Constraints, Limits, Process, Sandbox, Terms, encode_terms
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.records import Action, Link
from tests.support import governed as scene
from tests.support import world
from tests.support.governed import COVERED, NARROWER, Grant
from tests.support.world import NOW
from tests.vectors.flip import denied
from tests.vectors.form import Vector
from tests.vectors.valid import vector
from tests.vectors.valid_governed import governed, sound


@denied(Code.DELEGATION_INVALID)
def delegated() -> Vector:
    # V-43
    """The artifact was delegated, and the grant is not in the bundle."""
    return governed(grants=[Grant()], left_out=("parents",))


@denied(Code.DELEGATION_INVALID)
def first_grant_missing() -> Vector:
    # V-43
    """Of two grants above the artifact the first one is not in the bundle."""
    grants = [Grant(), Grant("helper")]
    return governed(grants=grants, added={"parents": sound(grants=grants).parents[:1]})


@denied(Code.DELEGATION_INVALID)
def delegable() -> Vector:
    # V-43
    """The artifact has a depth, as only a grant has."""
    return governed(record={"depth": 0})


@denied(Code.DELEGATION_INVALID)
def parent_is_an_action() -> Vector:
    # V-44
    """What stands above the artifact is no grant."""
    return governed(grants=[Grant(record={"form": "action"})])


@denied(Code.DELEGATION_INVALID)
def grant_of_another_mode() -> Vector:
    # V-44
    """The grant only observes."""
    return governed(grants=[Grant(record={"mode": "observe"})])


@denied(Code.DELEGATION_INVALID)
def grant_of_another_type() -> Vector:
    # V-44
    """The grant's own action is of another type."""
    return governed(grants=[Grant(record={"action": Action("process.exec", bytes(32))})])


@denied(Code.DELEGATION_INVALID)
def grant_by_a_stranger() -> Vector:
    # V-44
    """The grant is signed by a key that trust does not name."""
    return governed(grants=[Grant(by="stranger")])


@denied(Code.DELEGATION_INVALID)
def grant_not_logged() -> Vector:
    # V-44
    """The grant stands at an index whose entry it is not."""
    made = sound(grants=[Grant()])
    (parent,) = made.parents
    assert made.request is not None
    moved = parent.authorization._replace(positions=made.request.positions)
    return governed(grants=[Grant()], added={"parents": (parent._replace(authorization=moved),)})


@denied(Code.DELEGATION_INVALID)
def grant_signature() -> Vector:
    # V-44
    """The grant's signature is another's."""
    made = scene.build(grants=[Grant()])
    (parent,) = made.bundle.parents
    entry = parent.authorization.statement
    broken = entry[:-1] + bytes((entry[-1] ^ 1,))
    made.log.entries[made.log.entries.index(entry)] = broken
    return vector(scene.proven_again(made.bundle, made.log), scene.trust(made.log))


@denied(Code.DELEGATION_INVALID)
def grant_terms() -> Vector:
    # V-44
    """The terms in the bundle are wider than those that the grant commits to."""
    wider = Terms(Constraints(args={"/type": COVERED.args["/type"]}))
    return governed(grants=[Grant(part={"terms": encode_terms(wider)})])


@denied(Code.DELEGATION_INVALID)
def grant_without_a_type() -> Vector:
    # V-44
    """The grant does not say which type of action it covers."""
    covers = Constraints(args={"/name": COVERED.args["/name"]})
    return governed(grants=[Grant(covers=covers)])


@denied(Code.DELEGATION_INVALID)
def grant_of_any_type() -> Vector:
    # V-44
    """The grant covers every type of action that begins alike."""
    covers = COVERED._replace(args={**COVERED.args, "/type": Matcher(Operator.PREFIX, "process.")})
    return governed(grants=[Grant(covers=covers)])


@denied(Code.DELEGATION_INVALID)
def grant_key() -> Vector:
    # V-45
    """The grant is bound to a key that is none."""
    broken = cbor.encode({1: 2, -1: 1, -2: bytes(32), -3: bytes(32), 3: -7})
    return governed(grants=[Grant(claims={"cnf": broken})])


@denied(Code.DELEGATION_INVALID)
def delegated_without_request() -> Vector:
    # V-45
    """The request is not in the bundle, so that nobody can tell who asked."""
    return governed(grants=[Grant()], left_out=("request",))


@denied(Code.DELEGATION_INVALID)
def asked_without_a_grant() -> Vector:
    # V-45
    """The request names no grant above it."""
    return governed(grants=[Grant()], asked={"links": ()})


@denied(Code.DELEGATION_INVALID)
def asked_under_another_grant() -> Vector:
    # V-45
    """The request names another grant above it."""
    return governed(grants=[Grant()], asked={"links": (Link("parent", bytes(32)),)})


@denied(Code.DELEGATION_INVALID)
def asked_by_another() -> Vector:
    # V-45
    """The request is signed with another key than the grant is bound to."""
    return governed(grants=[Grant()], asked_with="stranger")


@denied(Code.DELEGATION_INVALID)
def asked_signature() -> Vector:
    # V-45
    """The request names the grant's key, and its signature is another's."""
    made = scene.build(grants=[Grant()])
    assert made.bundle.request is not None
    entry = made.bundle.request.statement
    broken = entry[:-1] + bytes((entry[-1] ^ 1,))
    made.log.entries[made.log.entries.index(entry)] = broken
    return vector(scene.proven_again(made.bundle, made.log), scene.trust(made.log))


@denied(Code.DELEGATION_INVALID)
def wider_audience() -> Vector:
    # V-46
    """The grant is for another runtime."""
    return governed(grants=[Grant(claims={"aud": "urn:exequatur:runtime:other"})])


@denied(Code.DELEGATION_INVALID)
def wider_beginning() -> Vector:
    # V-46
    """The artifact is valid a second before the grant."""
    return governed(grants=[Grant(claims={"nbf": NOW + 1})])


@denied(Code.DELEGATION_INVALID)
def wider_end() -> Vector:
    # V-46
    """The artifact is valid a second longer than the grant."""
    return governed(grants=[Grant(claims={"exp": NOW + 299})])


@denied(Code.DELEGATION_INVALID)
def wider_uses() -> Vector:
    # V-46
    """The artifact has a use more than the grant."""
    return governed(grants=[Grant()], record={"uses": 6})


@denied(Code.DELEGATION_INVALID)
def wider_depth() -> Vector:
    # V-46
    """A grant stands below one that allows actions alone."""
    return governed(grants=[Grant(record={"depth": None}), Grant("helper")])


@denied(Code.DELEGATION_INVALID)
def wider_facts() -> Vector:
    # V-46
    """The grant demands a fact that the artifact does not."""
    return governed(grants=[Grant(facts={"interpreter": bytes(32)})])


@denied(Code.DELEGATION_INVALID)
def outside_the_grant() -> Vector:
    # V-47
    """The grant covers another directory's programs."""
    covers = COVERED._replace(args={**COVERED.args, "/name": Matcher(Operator.SUBPATH, "/opt")})
    return governed(grants=[Grant(covers=covers)], covers=covers._replace(args={"/type": COVERED.args["/type"]}))


def _wider(**constraints: Any) -> Vector:
    """Return the vector of a grant that limits one thing more than what stands below it."""
    return governed(grants=[Grant(covers=COVERED._replace(**constraints))], covers=NARROWER)


@denied(Code.DELEGATION_INVALID)
def wider_arguments() -> Vector:
    # V-46
    """The artifact's terms admit more programs than the grant's, though this one is among them."""
    return governed(grants=[Grant(covers=NARROWER)], covers=COVERED)


@denied(Code.DELEGATION_INVALID)
def wider_environment() -> Vector:
    # V-46
    """The grant limits the environment, the artifact does not."""
    return _wider(process=Process(env=("PATH",)))


@denied(Code.DELEGATION_INVALID)
def wider_network() -> Vector:
    # V-46
    """The grant permits no network, the artifact any."""
    return _wider(sandbox=Sandbox(ports=()))


@denied(Code.DELEGATION_INVALID)
def wider_limits() -> Vector:
    # V-46
    """The grant limits the time, the artifact does not."""
    return _wider(limits=Limits(wall_ms=1000))


@denied(Code.DELEGATION_INVALID)
def wider_lease() -> Vector:
    # V-46
    """The grant asks for a lease, the artifact does not."""
    return _wider(lease_s=30)


@denied(Code.DELEGATION_INVALID)
def grant_after_the_artifact() -> Vector:
    # V-44
    """The grant stands after the artifact in the log."""
    made = scene.build(grants=[Grant()])
    (parent,) = made.bundle.parents
    made.log.append(parent.authorization.statement)
    again = scene.proven_again(made.bundle, made.log, last=True)
    return vector(again, scene.trust(made.log), command=world.COMMAND)
