"""The vectors that are admitted. Each is a function; its first line says what it shows.

The failing ones start from these and flip one thing each (``failing``).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from exequatur_verifier import Clock, Facts, Memory, Proof, action, bundle, checkpoint, note, parse_trust, statement
from exequatur_verifier.bundle import Bundle, Stapled
from exequatur_verifier.constraints import Constraints, Limits, Process, Sandbox
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.memory import KnownPolicy
from exequatur_verifier.note import NoteKey, NoteSignature
from tests.support import reference, world
from tests.support.world import NOW, ORIGIN, Log, Parts
from tests.vectors.form import Vector
from tests.vectors.frozen import FrozenSigner

Maker = Callable[[], Vector]
VALID: Final[dict[str, Maker]] = {}

# Ten seconds after the artifact was signed.
CLOCK: Final = Clock(NOW + 10)


def valid(make: Maker) -> Maker:
    """Register a vector under its function's name."""
    VALID["valid-" + make.__name__.replace("_", "-")] = make
    return make


def vector(made: Bundle, trust: str, command: Mapping[str, Any] = world.COMMAND, facts: Facts = world.FACTS) -> Vector:
    """Return a vector without memory or further proofs."""
    return Vector(bundle.encode(made), trust, action.encode(command), facts, None, (), CLOCK)


def issued(made: Parts, **trust: Any) -> Vector:
    """Return the vector of an artifact in a log of five entries."""
    log = world.new_log()
    return vector(world.issue(made, log), world.trust_toml(log, **trust))


def signed_with(algorithm: Algorithm) -> Vector:
    """Return the vector of an artifact under that algorithm."""
    log = world.new_log()
    made = world.parts(algorithm=algorithm)
    signer = FrozenSigner(world.signer("authority", algorithm))
    artifact = statement.sign(made.record, made.claims, signer)
    return vector(world.issue(made, log, artifact=artifact), world.trust_toml(log, algorithm=algorithm))


@valid
def es256() -> Vector:
    """The usual artifact: ES256, a receipt of one log, the policy beside it."""
    return signed_with(Algorithm.ES256)


@valid
def esp256() -> Vector:
    """The authority signs with ESP256, the fully specified name of the same computation."""
    return signed_with(Algorithm.ESP256)


@valid
def es384() -> Vector:
    """The authority signs with ES384."""
    return signed_with(Algorithm.ES384)


@valid
def ed25519() -> Vector:
    """The authority signs with Ed25519."""
    return signed_with(Algorithm.ED25519)


@valid
def eddsa() -> Vector:
    """The authority signs with EdDSA, the polymorphic name."""
    return signed_with(Algorithm.EDDSA)


@valid
def ml_dsa_44() -> Vector:
    """The authority signs with ML-DSA-44."""
    return signed_with(Algorithm.ML_DSA_44)


@valid
def ml_dsa_65() -> Vector:
    """The authority signs with ML-DSA-65."""
    return signed_with(Algorithm.ML_DSA_65)


@valid
def high_s() -> Vector:
    """The authority's ECDSA signature has the larger s, which is as valid as the smaller."""
    made, log = world.parts(), world.new_log()
    artifact = statement.sign(made.record, made.claims, world.signer("authority"))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = order - int.from_bytes(artifact[-32:], "big")
    return vector(
        world.issue(made, log, artifact=artifact[:-32] + other.to_bytes(32, "big")),
        world.trust_toml(log),
    )


@valid
def only_entry() -> Vector:
    """The artifact is the only entry of its log, so its path is empty; its policy is accepted by id."""
    made, log = world.parts(), world.new_log()
    trust = world.trust_toml(log, policy=accepted(made))
    log.entries.clear()
    log.append(statement.sign(made.record, made.claims, world.signer("authority")))
    whole = statement.attach(log.entries[0], (log.receipt(0, NOW),))
    return vector(Bundle(whole, made.salt, made.terms), trust)


@valid
def two_logs() -> Vector:
    """Receipts of two logs, both of which are asked for, at different indices."""
    logs = (world.new_log(), world.new_log("second.example/log", 6))
    return vector(world.issue(world.parts(), *logs), world.trust_toml(*logs, k=2))


@valid
def unknown_log() -> Vector:
    """A second receipt, of a log that is not trusted, is ignored and listed."""
    logs = (world.new_log(), world.new_log("unknown.example/log"))
    return vector(world.issue(world.parts(), *logs), world.trust_toml(logs[0]))


@valid
def index_range() -> Vector:
    """The issuer's key is trusted for a range of indices, in which the artifact is the last."""
    return issued(world.parts(), issuer="since = 4\nuntil = 5")


@valid
def second_range() -> Vector:
    """The issuer's key is trusted for two ranges of indices, and the artifact stands in the second."""
    key = world.text_key(world.signer("authority"))
    later = (
        f'[[issuers]]\niss = "urn:exequatur:authority:test"\nkeys = ["{key}"]\nactions = ["process.exec"]\nsince = 4'
    )
    return issued(world.parts(), issuer="until = 3", extra=later)


@valid
def index_in_an_unknown_log() -> Vector:
    """The artifact's index in a log that is not trusted says nothing about the range of its issuer's key."""
    logs = (world.new_log(), world.new_log("unknown.example/log", 9))
    return vector(world.issue(world.parts(), *logs), world.trust_toml(logs[0], issuer="until = 5"))


# Checkpoints and witnesses


def with_checkpoint(*cosignatures: Callable[[Log], NoteSignature], extra: str = "", max_age: int = 86_400) -> Vector:
    """Return the vector of a bundle with the log's checkpoint and the given signature lines on it."""
    log = world.new_log()
    made = world.issue(world.parts(), log)
    noted = log.checkpoint(*(sign(log) for sign in cosignatures))
    return vector(made._replace(checkpoints=(noted,)), world.trust_toml(log, extra=extra, max_age=max_age))


def witness(
    name: str, *, time: int = NOW + 2, algorithm: Algorithm = Algorithm.ED25519
) -> Callable[[Log], NoteSignature]:
    """Return what makes a witness's signature line for a log's head."""

    def sign(log: Log) -> NoteSignature:
        head = checkpoint.Checkpoint(log.origin, len(log.entries), log.root())
        signer = FrozenSigner(world.signer(name, algorithm))
        return checkpoint.cosign(head, time, world.witness_key(name, algorithm), signer)

    return sign


def witness_keys(*keys: NoteKey) -> str:
    """Return the trust policy's keys of witnesses w1, w2…"""
    spelled = (f'w{number} = "{note.format_key(key)}"' for number, key in enumerate(keys, 1))
    return "[witness.keys]\n" + "\n".join(spelled)


ANNA, BERT, CARA = (world.witness_key(f"{name}.example") for name in ("anna", "bert", "cara"))
DORA = world.witness_key("dora.example", Algorithm.ML_DSA_44)
# Anna and Bert are one organisation: either will do, with Dora's ML-DSA-44 cosignature.
QUORUM: Final = (
    '[witness]\nquorum = "both"\n'
    + witness_keys(ANNA, BERT, DORA)
    + '\n[witness.groups]\npair = ["any", "w1", "w2"]\nboth = ["all", "pair", "w3"]'
)


@valid
def log_checkpoint() -> Vector:
    """The log's own checkpoint travels beside the receipt, though no witness is asked for."""
    return with_checkpoint()


@valid
def unknown_line() -> Vector:
    """A signature line by a key that trust does not name is ignored and listed."""
    return with_checkpoint(witness("stranger.example"))


@valid
def witness_quorum() -> Vector:
    """A quorum of nested groups, met by an Ed25519 and an ML-DSA-44 cosignature."""
    return with_checkpoint(
        witness("anna.example"), witness("dora.example", algorithm=Algorithm.ML_DSA_44), extra=QUORUM
    )


@valid
def one_witness() -> Vector:
    """The quorum is one witness, named without a group; another's cosignature is one more than needed."""
    quorum = f'[witness]\nquorum = "w2"\n{witness_keys(ANNA, BERT)}'
    return with_checkpoint(witness("anna.example"), witness("bert.example"), extra=quorum)


@valid
def freshest_quorum() -> Vector:
    """Of three cosignatures the two freshest meet the quorum, and the third's age does not count."""
    keys = witness_keys(ANNA, BERT, CARA)
    two_of_three = f'[witness]\nquorum = "two"\n{keys}\n[witness.groups]\ntwo = [2, "w1", "w2", "w3"]'
    return with_checkpoint(
        witness("anna.example", time=NOW - 5000),
        witness("bert.example"),
        witness("cara.example"),
        extra=two_of_three,
        max_age=100,
    )


# Continuity


def remembering(
    size: int, *, iat: int = NOW - 50, stapled: bool = False, given: bool = False, of: Log | None = None, **more: Any
) -> Vector:
    """Return a vector whose runtime remembers the log at ``size``, or that size ``of`` another log.

    The proof between the two heads is stapled to the bundle, or given beside it.
    """
    log = world.new_log()
    made = world.issue(world.parts(), log)
    trust = world.trust_toml(log)
    while len(log.entries) < size:
        log.append(b"later %d" % len(log.entries))
    known = (of or log).known_head(iat, parse_trust(trust.encode()).digest, size)
    low, high = sorted((5, size))
    path = tuple(reference.consistency_path(low, log.entries[:high]))
    if stapled:
        made = made._replace(proofs=(Stapled(ORIGIN, low, log.root(low), path),))
    proofs = (Proof(ORIGIN, low, log.root(low), high, log.root(high), path),) if given else ()
    memory = world.memory(known, **more)
    return vector(made, trust)._replace(memory=memory, proofs=proofs)


@valid
def first_head() -> Vector:
    """The runtime has a memory, but no head of this log in it."""
    return es256()._replace(memory=world.memory())


@valid
def stapled_proof() -> Vector:
    """The log has grown since the remembered head, and the bundle carries the proof."""
    return remembering(3, stapled=True)


@valid
def given_proof() -> Vector:
    """The log has grown since the remembered head, and the proof comes from elsewhere."""
    return remembering(3, given=True)


@valid
def earlier_head() -> Vector:
    """The artifact rests on an earlier head than the remembered one, and the proof leads there."""
    return remembering(9, iat=NOW + 5, given=True)


@valid
def head_seen() -> Vector:
    """The remembered head is the very head of the artifact."""
    return remembering(5, iat=NOW)


@valid
def same_size() -> Vector:
    """The remembered head has the same size and root, but was signed at another time."""
    return remembering(5)


@valid
def checkpoint_seen() -> Vector:
    """The remembered head and its cosigned checkpoint are the very ones of the bundle."""
    cosigned = witness_quorum()
    assert cosigned.bundle is not None
    seen = remembering(5, iat=NOW).memory
    assert seen is not None
    known = seen.heads[ORIGIN]._replace(
        trust=parse_trust(cosigned.trust.encode()).digest,
        note=bundle.decode(cosigned.bundle).checkpoints[0],
    )
    return cosigned._replace(memory=world.memory(known))


@valid
def proof_of_a_size_not_remembered() -> Vector:
    """A stapled proof from a size that is not remembered is checked all the same."""
    return remembering(3, stapled=True)._replace(memory=None)


@valid
def several_proofs() -> Vector:
    """Proofs from several sizes are stapled and given, and the one from the remembered size is among them."""
    log = world.new_log()
    made = world.issue(world.parts(), log)
    proofs = tuple(
        Stapled(ORIGIN, size, log.root(size), tuple(reference.consistency_path(size, log.entries)))
        for size in (1, 2, 4)
    )
    usual = remembering(3, given=True)
    other = Proof("other.example/log", 3, bytes(32), 5, bytes(32), ())
    whole = bundle.encode(made._replace(proofs=proofs))
    return usual._replace(bundle=whole, proofs=(other, *usual.proofs))


@valid
def proof_of_an_unknown_log() -> Vector:
    """A stapled proof of a log whose receipt is ignored is ignored with it."""
    logs = (world.new_log(), world.new_log("unknown.example/log"))
    made = world.issue(world.parts(), *logs)
    stapled = Stapled(logs[1].origin, 3, logs[1].root(3), tuple(reference.consistency_path(3, logs[1].entries)))
    return vector(made._replace(proofs=(stapled,)), world.trust_toml(logs[0]))


# Time


@valid
def last_second() -> Vector:
    """The last second of the window, leeway included."""
    return es256()._replace(now=Clock(NOW + 300 + 59))


@valid
def first_second() -> Vector:
    """The first second of a window that opens later, leeway included."""
    made = world.parts()
    return issued(made._replace(claims=made.claims._replace(nbf=NOW + 70)))


@valid
def clock_behind() -> Vector:
    """The clock is behind the latest signed time it saw, within the leeway; that time counts."""
    return es256()._replace(memory=world.memory(floor=NOW + 60), now=Clock(NOW + 5))


@valid
def same_boot() -> Vector:
    """Within one boot, wall time and time since boot advanced alike, within the leeway."""
    memory = world.memory(clock=Clock(NOW - 100, "boot-1", 1000))
    return es256()._replace(memory=memory, now=Clock(NOW + 10, "boot-1", 1170))


# Constraints

CALL: Final[dict[str, Any]] = {
    "type": "mcp.tool",
    "name": "book_reservation",
    "resource": "urn:example:airline",
    "args": {
        "cabin": "economy",
        "fare": 129.5,
        "flights": [{"number": "HAT001"}, {"number": "HAT136"}],
        "insurance": False,
        "origin": "JFK",
        "passengers": 2,
        "receipt/url": "https://files.airline.example:8443/receipts?id=1",
        "save_to": "/srv/trips/42.json",
    },
}
CALL_RULES: Final = Constraints(
    {
        "/name": Matcher(Operator.EXACT, "book_reservation"),
        "/args/cabin": Matcher(Operator.ONE_OF, ("economy", "basic_economy")),
        "/args/fare": Matcher(Operator.RANGE, (None, 200)),
        "/args/flights/*/number": Matcher(Operator.GLOB, "HAT???"),
        "/args/flights/0/number": Matcher(Operator.PREFIX, "HAT"),
        "/args/insurance": Matcher(Operator.EXACT, False),
        "/args/passengers": Matcher(Operator.RANGE, (1, 5)),
        "/args/receipt~1url": Matcher(Operator.URL_HOST, ("*.airline.example",)),
        "/args/save_to": Matcher(Operator.SUBPATH, "/srv/trips"),
    }
)
PROCESS_RULES: Final = Constraints(
    {"/args/1": Matcher(Operator.ONE_OF, ("--version", "--help")), "/cwd": Matcher(Operator.SUBPATH, "/srv")},
    Process(
        executables=(world.FACTS.measured["executable"],),  # type: ignore[arg-type]  # a digest, not the host's name
        env=("HOME", "PATH"),
        uid=(1000,),
        image="path",
    ),
    Sandbox(require=("no-new-privs", "pidfd")),
    Limits(wall_ms=30_000),
)


def calling(command: Mapping[str, Any], rules: Constraints = CALL_RULES) -> Vector:
    """Return the vector of a tool call with no facts measured."""
    log = world.new_log()
    made = world.parts(command, Facts(), rules)
    return vector(world.issue(made, log), world.trust_toml(log, actions=("mcp.tool",)), command, Facts())


@valid
def call_constraints() -> Vector:
    """A tool call whose arguments satisfy a matcher of every operator."""
    return calling(CALL)


@valid
def process_constraints() -> Vector:
    """A command under constraints on argv, directory, executable, environment, user, sandbox and time."""
    return issued(world.parts(rules=PROCESS_RULES))


# Policy


def accepted(made: Parts) -> str:
    """Return the trust policy's line that accepts the policy of ``made`` by its id, and no others."""
    return f'accept = ["{statement.parse(made.policy).id.hex()}"]'


def known_policy(epoch: int = 1, owner: str = "owner", iat: int = NOW - 1000) -> KnownPolicy:
    """Return the world's policy as a runtime remembers it."""
    parsed = statement.parse(world.policy_statement())
    return KnownPolicy(parsed.id, world.signer(owner).public_key.thumbprint, "urn:exequatur:policy:test", epoch, iat)


def without_policy(policy: str = "", memory: Memory | None = None) -> Vector:
    """Return the vector of a bundle that does not carry its policy."""
    made, log = world.parts(), world.new_log()
    whole = world.issue(made, log)._replace(policy=None)
    return vector(whole, world.trust_toml(log, policy=policy))._replace(memory=memory)


@valid
def policy_by_id() -> Vector:
    """The policy is accepted by its id and need not be presented."""
    return without_policy(accepted(world.parts()))


@valid
def policy_by_id_presented() -> Vector:
    """The policy is accepted by its id although its owner is not known; its place in the log is proven."""
    made = world.parts(policy=world.policy_statement(owner="stranger"))
    return issued(made, policy=accepted(made))


@valid
def policy_remembered() -> Vector:
    """The policy was accepted before and need not be presented again."""
    policy = known_policy()
    return without_policy(memory=world.memory(policies={policy.id: policy}))


@valid
def policy_limits() -> Vector:
    """The policy has just the epoch and the age that trust asks for."""
    return issued(world.parts(), policy="min_epoch = 1\nmax_age = 1010")


@valid
def policy_of_another_set() -> Vector:
    """A newer epoch of another policy set is remembered, which says nothing about this one."""
    other = known_policy(9)._replace(id=bytes(32), set="urn:exequatur:policy:other")
    return es256()._replace(memory=world.memory(policies={other.id: other}))
