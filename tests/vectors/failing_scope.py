"""Vectors that steps 8 to 11 deny: another runtime, another action, other facts, a policy not accepted."""

from collections.abc import Mapping
from typing import Any

from exequatur_verifier import Clock, Code, Facts, action, constraints, statement
from exequatur_verifier.bundle import Position
from exequatur_verifier.constraints import Constraints, Limits, Sandbox, Terms
from exequatur_verifier.match import Matcher, Operator
from tests.support import world
from tests.support.world import COMMAND, FACTS, NOW, ORIGIN
from tests.vectors.flip import denied, edited, logged, opened, signed
from tests.vectors.form import Vector
from tests.vectors.valid import (
    CALL,
    PROCESS_RULES,
    call_constraints,
    calling,
    es256,
    issued,
    known_policy,
    only_entry,
    policy_limits,
    process_constraints,
    two_logs,
    without_policy,
)

# Step 8 (V-28)


@denied(Code.AUDIENCE_MISMATCH)
def audience() -> Vector:
    """The artifact is meant for another runtime."""
    made = world.parts()
    return issued(made._replace(claims=made.claims._replace(aud="urn:exequatur:runtime:other")))


@denied(Code.RUNTIME_MISMATCH)
def runtime_key() -> Vector:
    """The artifact is bound to the key of another runtime of the same name."""
    made = world.parts()
    key = world.signer("other runtime").public_key.encoded
    return issued(made._replace(claims=made.claims._replace(cnf=key)))


# Step 9 (V-29, V-30)


def running(**changed: Any) -> Vector:
    """Return the usual vector, but with another command about to run."""
    return es256()._replace(action=action.encode({**COMMAND, **changed}))


@denied(Code.ACTION_MISMATCH)
def argument() -> Vector:
    """One argument differs."""
    return running(args=[b"git", b"--help"])


@denied(Code.ACTION_MISMATCH)
def one_argument_more() -> Vector:
    """An empty argument follows."""
    return running(args=[b"git", b"--version", b""])


@denied(Code.ACTION_MISMATCH)
def executable_path() -> Vector:
    """Another path to what may be the same executable."""
    return running(name=b"/usr/bin/../bin/git")


@denied(Code.ACTION_MISMATCH)
def directory() -> Vector:
    """Another working directory."""
    return running(cwd=b"/srv")


@denied(Code.ACTION_MISMATCH)
def environment() -> Vector:
    """One more variable in the environment."""
    return running(env={**COMMAND["env"], b"LD_PRELOAD": b"/tmp/x.so"})


@denied(Code.ACTION_MISMATCH)
def user() -> Vector:
    """Another user."""
    return running(uid=0)


@denied(Code.ACTION_MISMATCH)
def type_of_action() -> Vector:
    """A tool call instead of the command."""
    return es256()._replace(action=action.encode(CALL))


@denied(Code.ACTION_MISMATCH)
def number_as_float() -> Vector:
    """An argument is 2.0 where 2 was authorized."""
    changed = {**CALL, "args": {**CALL["args"], "passengers": 2.0}}
    return call_constraints()._replace(action=action.encode(changed))


@denied(Code.ACTION_MISMATCH)
def salt() -> Vector:
    #
    """The salt has one bit flipped, so that no commitment comes out."""
    return edited(es256(), salt=bytes((world.SALT[0] ^ 1,)) + world.SALT[1:])


@denied(Code.CONSTRAINT_VIOLATED)
def terms_of_another_artifact() -> Vector:
    """The terms in the bundle are laxer than the ones committed to."""
    return edited(process_constraints(), terms=constraints.encode_terms(Terms(Constraints(), FACTS.measured)))


def violating(path: str, value: Any) -> Vector:
    """Return the vector of a tool call that was authorized with an argument against its own constraints."""
    return calling({**CALL, "args": {**CALL["args"], path: value}})


@denied(Code.CONSTRAINT_VIOLATED)
def one_of() -> Vector:
    """A cabin that is not on the list."""
    return violating("cabin", "business")


@denied(Code.CONSTRAINT_VIOLATED)
def exact() -> Vector:
    """Insurance 0, which is not false."""
    return violating("insurance", 0)


@denied(Code.CONSTRAINT_VIOLATED)
def above_range() -> Vector:
    """Six passengers of five."""
    return violating("passengers", 6)


@denied(Code.CONSTRAINT_VIOLATED)
def not_a_number() -> Vector:
    """A number of passengers in words."""
    return violating("passengers", "2")


@denied(Code.CONSTRAINT_VIOLATED)
def glob() -> Vector:
    """The second of two flights does not fit the pattern."""
    return violating("flights", [{"number": "HAT001"}, {"number": "HAT1360"}])


@denied(Code.CONSTRAINT_VIOLATED)
def url_host() -> Vector:
    """A host that only looks like the permitted one."""
    return violating("receipt/url", "https://files.airline.example.evil.example/")


@denied(Code.CONSTRAINT_VIOLATED)
def url_with_credentials() -> Vector:
    """The permitted host stands where a user's name would."""
    return violating("receipt/url", "https://files.airline.example@evil.example/")


@denied(Code.CONSTRAINT_VIOLATED)
def subpath() -> Vector:
    """A path that leads out of the permitted directory."""
    return violating("save_to", "/srv/trips/../../etc/passwd")


@denied(Code.CONSTRAINT_VIOLATED)
def argument_missing() -> Vector:
    """An argument that is constrained is not there."""
    return calling({**CALL, "args": {name: value for name, value in CALL["args"].items() if name != "cabin"}})


def constrained(**changed: Any) -> Vector:
    """Return the vector of the command under constraints that it does not satisfy."""
    return issued(world.parts(rules=PROCESS_RULES._replace(**changed)))


@denied(Code.CONSTRAINT_VIOLATED)
def executable_not_permitted() -> Vector:
    """The measured executable is not one of those permitted."""
    return constrained(process=PROCESS_RULES.process._replace(executables=(bytes(32),)))


@denied(Code.CONSTRAINT_VIOLATED)
def environment_not_permitted() -> Vector:
    """The environment holds a variable that is not permitted."""
    return constrained(process=PROCESS_RULES.process._replace(env=("HOME",)))


@denied(Code.CONSTRAINT_VIOLATED)
def user_not_permitted() -> Vector:
    """The user is not one of those permitted."""
    return constrained(process=PROCESS_RULES.process._replace(uid=(1001,)))


@denied(Code.CONSTRAINT_VIOLATED)
def prefix() -> Vector:
    """An argument does not begin as it must."""
    return constrained(args={"/args/1": Matcher(Operator.PREFIX, "--h")})


# Step 10 (V-31, V-32)


def measuring(measured: Mapping[str, bytes | str]) -> Vector:
    """Return the usual vector with other facts measured."""
    return es256()._replace(facts=Facts(measured, FACTS.enforcement))


@denied(Code.FACT_MISMATCH)
def executable() -> Vector:
    """The executable was swapped after the authorization."""
    return measuring({**FACTS.measured, "executable": bytes(32)})


@denied(Code.FACT_MISMATCH)
def host() -> Vector:
    """Another host."""
    return measuring({**FACTS.measured, "host": "build-2"})


@denied(Code.FACT_MISMATCH)
def not_measured() -> Vector:
    """The executable was not measured."""
    return measuring({"host": "build-1"})


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def limit_not_enforced() -> Vector:
    """A limit that this host cannot enforce."""
    return issued(world.parts(rules=Constraints(limits=Limits(cpu_s=10))))


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def sandbox_not_enforced() -> Vector:
    """A sandbox on paths that this host cannot enforce."""
    return issued(world.parts(rules=Constraints(sandbox=Sandbox(read=("/usr",)))))


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def network_not_enforced() -> Vector:
    """No network, which this host cannot enforce."""
    return issued(world.parts(rules=Constraints(sandbox=Sandbox(ports=()))))


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def lease_not_enforced() -> Vector:
    """A lease, which this host cannot enforce."""
    return issued(world.parts(rules=Constraints(lease_s=30)))


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def primitive_not_offered() -> Vector:
    """The artifact names a primitive that this host does not offer."""
    return issued(world.parts(rules=Constraints(sandbox=Sandbox(require=("landlock",)))))


@denied(Code.ENFORCEMENT_UNAVAILABLE)
def trust_requires_more() -> Vector:
    """The trust policy asks for a primitive that this host does not offer."""
    return issued(world.parts(), extra='[enforcement]\nrequired = ["landlock"]')


# Step 11 (V-33, V-34, V-35, V-36)


@denied(Code.POLICY_UNTRUSTED)
def no_policy() -> Vector:
    """The policy is neither presented nor accepted by its id."""
    return without_policy()


@denied(Code.POLICY_UNTRUSTED)
def policy_of_another_id() -> Vector:
    """Another policy is accepted by its id."""
    return without_policy(f'accept = ["{"00" * 32}"]')


@denied(Code.POLICY_UNTRUSTED)
def no_policy_linked() -> Vector:
    """The artifact names no policy, and none is presented."""
    made = world.parts()
    made = made._replace(record=made.record._replace(links=made.record.links[:2]))
    return edited(issued(made), policy=None)


@denied(Code.POLICY_UNTRUSTED)
def another_policy() -> Vector:
    """The policy in the bundle is an owner's, but not the one that the artifact names."""
    made = world.parts()
    return issued(made._replace(policy=world.policy_statement(world.policy_record(epoch=2))))


@denied(Code.POLICY_UNTRUSTED)
def not_a_policy() -> Vector:
    """What the artifact names as its policy, and the bundle carries, is an authorization."""
    made = world.parts()
    other = signed()
    link = made.record.links[2]._replace(id=statement.parse(other).id)
    return issued(made._replace(policy=other, record=made.record._replace(links=(*made.record.links[:2], link))))


@denied(Code.POLICY_UNTRUSTED)
def owner_unknown() -> Vector:
    """The policy is by an owner whom trust does not name."""
    return issued(world.parts(policy=world.policy_statement(owner="stranger")))


@denied(Code.POLICY_UNTRUSTED)
def owner_signature() -> Vector:
    """The owner's signature has one bit flipped, and was logged like that."""
    policy = world.policy_statement()
    return issued(world.parts()._replace(policy=policy[:-1] + bytes((policy[-1] ^ 1,))))


@denied(Code.POLICY_UNTRUSTED)
def position_missing() -> Vector:
    # B-07
    """The policy's position in the second log is missing."""
    policy = opened(two_logs()).policy
    assert policy is not None
    return edited(two_logs(), policy=policy._replace(positions={ORIGIN: policy.positions[ORIGIN]}))


def placed(index: int, *, hashes: int | None = None, flip: bool = False) -> Vector:
    """Return the usual vector with the policy placed elsewhere in the tree."""
    policy = opened(es256()).policy
    assert policy is not None
    path = policy.positions[ORIGIN].path[:hashes]
    if flip:
        path = (bytes((path[0][0] ^ 1,)) + path[0][1:], *path[1:])
    return edited(es256(), policy=policy._replace(positions={ORIGIN: Position(index, path)}))


@denied(Code.POLICY_UNTRUSTED)
def policy_path() -> Vector:
    # B-08
    """One hash of the policy's path has one bit flipped."""
    return placed(3, flip=True)


@denied(Code.POLICY_UNTRUSTED)
def policy_path_too_short() -> Vector:
    # B-08 L-02
    """The policy's path lacks its last hash."""
    return placed(3, hashes=-1)


@denied(Code.POLICY_UNTRUSTED)
def policy_index() -> Vector:
    """The policy's index is another's."""
    return placed(2)


@denied(Code.POLICY_UNTRUSTED)
def policy_after_the_artifact() -> Vector:
    """The policy was logged after the artifact that rests on it."""
    made, log = world.parts(), world.new_log()
    artifact = signed(made)
    first, second = log.append(artifact), log.append(made.policy)
    vector = logged(artifact)
    whole = opened(vector)
    assert whole.policy is not None
    return edited(
        vector,
        artifact=statement.attach(artifact, (log.receipt(first, NOW),)),
        policy=whole.policy._replace(positions={ORIGIN: log.position(second)}),
    )


@denied(Code.POLICY_UNTRUSTED)
def policy_not_in_force() -> Vector:
    """The policy comes into force one second after the clock and its leeway."""
    record = world.policy_record(activation=NOW + 71)
    return issued(world.parts(policy=world.policy_statement(record)))


@denied(Code.POLICY_UNTRUSTED)
def epoch_of_another() -> Vector:
    """The artifact names another epoch than the policy record it links."""
    made = world.parts()
    return issued(made._replace(record=made.record._replace(epoch=made.record.epoch._replace(number=2))))


@denied(Code.POLICY_UNTRUSTED)
def remembered_owner_gone() -> Vector:
    """The policy was accepted before, from an owner whom trust no longer names."""
    policy = known_policy(owner="former owner")
    return without_policy(memory=world.memory(policies={policy.id: policy}))


@denied(Code.TIME_IN_FUTURE)
def policy_in_the_future() -> Vector:
    """The policy was signed later than the clock and its leeway say."""
    return issued(world.parts(policy=world.policy_statement(iat=NOW + 71)))


@denied(Code.POLICY_STALE)
def epoch_too_low() -> Vector:
    """Trust asks for a later epoch."""
    return issued(world.parts(), policy="min_epoch = 2")


@denied(Code.POLICY_STALE)
def epoch_too_low_by_id() -> Vector:
    """Trust asks for a later epoch, also of a policy that it accepts by its id."""
    return only_entry()._replace(trust=only_entry().trust + "min_epoch = 2\n")


@denied(Code.POLICY_STALE)
def newer_epoch_remembered() -> Vector:
    """A later epoch of the same set was accepted before."""
    policy = known_policy(2)._replace(id=bytes(32))
    return es256()._replace(memory=world.memory(policies={policy.id: policy}))


@denied(Code.POLICY_STALE)
def policy_too_old() -> Vector:
    """The policy is one second older than trust permits."""
    return policy_limits()._replace(now=Clock(NOW + 11))
