"""A small world for tests and vectors: deterministic keys, a log in memory, and the bundle of one authorized command.

The log here is the slow reference tree, so that what the product's kernel verifies was not built by the product's log.
All keys come from fixed seeds and ECDSA is deterministic, so the same world makes the same bytes on every machine. Only
ML-DSA signatures differ from run to run; vectors keep theirs as frozen inputs.
"""

import base64
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa

from exequatur_verifier import action, bundle, checkpoint, constraints, note, receipt, statement
from exequatur_verifier.constraints import Constraints, Facts, Terms
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.memory import Clock, KnownHead, Memory, Proof
from exequatur_verifier.note import NoteKey, NoteSignature, SignatureType
from exequatur_verifier.records import Action, Authorization, Epoch, Link, Policy
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.statement import Claims
from tests.support import reference

NOW = 1_800_000_000
ORIGIN = "log.example/exequatur"
RUNTIME = "urn:exequatur:runtime:test"
SUBJECT = "urn:uuid:00000000-0000-4000-8000-000000000001"
SALT = bytes(range(16))
COMMAND: dict[str, Any] = {
    "type": "process.exec",
    "name": b"/usr/bin/git",
    "args": [b"git", b"--version"],
    "cwd": b"/srv/work",
    "env": {b"PATH": b"/usr/bin:/bin"},
    "uid": 1000,
}
FACTS = Facts(
    {"executable": sha256(b"git").digest(), "host": "build-1"},
    frozenset(("sealed-image", "no-new-privs", "process-group", "pidfd", "wall-clock")),
)


def signer(name: str, algorithm: Algorithm = Algorithm.ES256) -> LocalSigner:
    """Return the signer that belongs to a name and an algorithm, always the same."""
    seed = sha256(f"exequatur test key {name}".encode()).digest()
    key: object
    if algorithm in (Algorithm.ES256, Algorithm.ESP256):
        key = ec.derive_private_key(int.from_bytes(seed, "big") >> 1, ec.SECP256R1())
    elif algorithm is Algorithm.ES384:
        key = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP384R1())
    elif algorithm in (Algorithm.EDDSA, Algorithm.ED25519):
        key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    elif algorithm is Algorithm.ML_DSA_44:
        key = mldsa.MLDSA44PrivateKey.from_seed_bytes(seed)
    else:
        key = mldsa.MLDSA65PrivateKey.from_seed_bytes(seed)
    return LocalSigner(key, algorithm)


class Log(NamedTuple):
    """A log in memory: its names, its signers, its entries."""

    origin: str
    entries: list[bytes]

    @property
    def iss(self) -> str:
        """The name under which it signs receipts."""
        return f"https://{self.origin}"

    @property
    def receipt_signer(self) -> LocalSigner:
        """The key of its receipts."""
        return signer(f"{self.origin} receipts")

    @property
    def checkpoint_signer(self) -> LocalSigner:
        """The key of its checkpoints."""
        return signer(f"{self.origin} checkpoints", Algorithm.ED25519)

    @property
    def vkey(self) -> NoteKey:
        """The verifier key of its checkpoints."""
        return note.note_key(self.origin, SignatureType.ED25519, self.checkpoint_signer.public_key)

    def append(self, entry: bytes) -> int:
        """Append an entry and return its index."""
        self.entries.append(entry)
        return len(self.entries) - 1

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first ``size`` entries."""
        return reference.root(self.entries[:size])

    def head(self, iat: int, size: int | None = None) -> receipt.HeadSignature:
        """Return the signature of the head of that size."""
        size = len(self.entries) if size is None else size
        return receipt.sign_head(
            size, self.root(size), iss=self.iss, origin=self.origin, iat=iat, signer=self.receipt_signer
        )

    def receipt(self, index: int, iat: int, size: int | None = None) -> bytes:
        """Return the receipt of an entry at a head."""
        size = len(self.entries) if size is None else size
        path = tuple(reference.inclusion_path(index, self.entries[:size]))
        return receipt.encode(self.head(iat, size), receipt.Inclusion(size, index, path))

    def position(self, index: int, size: int | None = None) -> bundle.Position:
        """Return where an entry stands in the tree of that size."""
        return bundle.Position(index, tuple(reference.inclusion_path(index, self.entries[:size])))

    def checkpoint(self, *cosignatures: NoteSignature, size: int | None = None) -> bytes:
        """Return the checkpoint note of the head of that size."""
        size = len(self.entries) if size is None else size
        head = checkpoint.Checkpoint(self.origin, size, self.root(size))
        return note.format(
            checkpoint.format(head), (checkpoint.sign(head, self.vkey, self.checkpoint_signer), *cosignatures)
        )

    def cosignature(self, witness: str, time: int, algorithm: Algorithm = Algorithm.ED25519) -> NoteSignature:
        """Return a witness's cosignature of the current head."""
        head = checkpoint.Checkpoint(self.origin, len(self.entries), self.root())
        return checkpoint.cosign(head, time, witness_key(witness, algorithm), signer(witness, algorithm))

    def known_head(self, iat: int, trust: bytes, size: int | None = None) -> KnownHead:
        """Return the head of that size as a runtime remembers it."""
        size = len(self.entries) if size is None else size
        signed = self.head(iat, size)
        return KnownHead(self.origin, size, self.root(size), iat, signed.protected, signed.signature, trust)


def witness_key(name: str, algorithm: Algorithm = Algorithm.ED25519) -> NoteKey:
    """Return the verifier key of a witness."""
    kind = SignatureType.COSIGNATURE if algorithm is Algorithm.ED25519 else SignatureType.COSIGNATURE_ML_DSA_44
    return note.note_key(name, kind, signer(name, algorithm).public_key)


def new_log(origin: str = ORIGIN, filler: int = 3) -> Log:
    """Return a log with some entries in it."""
    return Log(origin, [f"entry {number} of {origin}".encode() for number in range(filler)])


def text_key(key: LocalSigner) -> str:
    """Return a key as a trust policy spells it."""
    return base64.b64encode(key.public_key.encoded).decode()


def trust_toml(
    *logs: Log,
    algorithm: Algorithm = Algorithm.ES256,
    leeway: int = 60,
    max_age: int = 86_400,
    k: int = 1,
    issuer: str = "since = 0",
    actions: tuple[str, ...] = ("process.exec",),
    extra: str = "",
    policy: str = "",
) -> str:
    """Return the trust policy of the world's runtime as TOML."""
    lines = [
        f"leeway = {leeway}",
        f'[runtime]\nid = "{RUNTIME}"\nkey = "{text_key(signer("runtime"))}"',
        f'[[issuers]]\niss = "urn:exequatur:authority:test"\nkeys = ["{text_key(signer("authority", algorithm))}"]',
        f"actions = {list(actions)}\n{issuer}",
    ]
    for log in logs:
        lines += [
            f'[[logs]]\niss = "{log.iss}"\norigin = "{log.origin}"\ngenesis = "{sha256(log.entries[0]).hexdigest()}"',
            f'receipt_keys = ["{text_key(log.receipt_signer)}"]\ncheckpoint_vkeys = ["{note.format_key(log.vkey)}"]',
            f"max_age = {max_age}",
        ]
    lines.append(f"[receipts]\nk = {k}")
    lines.append(f'[policy]\nowners = ["{text_key(signer("owner"))}"]\n{policy}')
    return "\n".join((*lines, extra)) + "\n"


def policy_record(epoch: int = 1, activation: int = NOW - 1000, approvals: int = 0) -> Policy:
    """Return a policy record."""
    sources, schema, entities, mapping = (
        sha256(name.encode()).digest() for name in ("sources", "schema", "entities", "mapping")
    )
    name = "urn:exequatur:policy:test"
    return Policy((), name, epoch, "cedar", sources, schema, entities, mapping, activation, approvals)


def policy_statement(record: Policy | None = None, iat: int = NOW - 1000, owner: str = "owner") -> bytes:
    """Return the signed policy record."""
    claims = Claims("urn:exequatur:owner:test", "urn:exequatur:policy:test", iat, sha256(b"policy").digest()[:16])
    return statement.sign(record or policy_record(), claims, signer(owner))


class Parts(NamedTuple):
    """All that goes into a bundle; a test replaces one thing and builds."""

    record: Authorization
    claims: Claims
    terms: bytes
    policy: bytes
    algorithm: Algorithm = Algorithm.ES256
    salt: bytes = SALT
    iat: int = NOW


def parts(
    command: Mapping[str, Any] = COMMAND,
    facts: Facts = FACTS,
    rules: Constraints | None = None,
    algorithm: Algorithm = Algorithm.ES256,
    policy: bytes | None = None,
) -> Parts:
    """Return the parts of an authorization for ``command`` with the measured facts as terms."""
    policy = policy or policy_statement()
    terms = constraints.encode_terms(Terms(rules or Constraints(), facts.measured))
    commit = action.commitment(action.ACTION_TAG, SALT, action.encode(command))
    parsed = statement.parse(policy)
    assert isinstance(parsed.record, Policy)
    record = Authorization(
        (
            Link("request", sha256(b"request").digest()),
            Link("decision", sha256(b"decision").digest()),
            Link("policy", parsed.id),
        ),
        "action",
        "enforce",
        Action(command["type"], commit),
        action.commitment(action.TERMS_TAG, SALT, terms),
        1,
        Epoch(parsed.record.set, parsed.record.epoch),
    )
    claims = Claims(
        "urn:exequatur:authority:test",
        SUBJECT,
        NOW,
        sha256(b"artifact").digest()[:16],
        RUNTIME,
        NOW + 300,
        NOW,
        signer("runtime").public_key.encoded,
    )
    return Parts(record, claims, terms, policy, algorithm)


def issue(made: Parts, *logs: Log, artifact: bytes | None = None) -> bundle.Bundle:
    """Append the policy and the artifact to each log, and return the bundle."""
    artifact = artifact or statement.sign(made.record, made.claims, signer("authority", made.algorithm))
    indices = [(log, log.append(made.policy), log.append(artifact)) for log in logs]
    receipts = tuple(log.receipt(index, made.iat) for log, _, index in indices)
    element = bundle.Element(made.policy, {log.origin: log.position(index) for log, index, _ in indices})
    return bundle.Bundle(statement.attach(artifact, receipts), made.salt, made.terms, element)


def memory(*heads: KnownHead, floor: int = NOW - 100, clock: Clock | None = None, **more: Any) -> Memory:
    """Return a memory of some heads."""
    return Memory(
        1, {head.origin: head for head in heads}, more.pop("policies", {}), floor, clock or Clock(NOW - 100), **more
    )


def authorize(
    command: Mapping[str, Any],
    facts: Facts,
    *logs: Log,
    now: int = NOW,
    ttl: int = 300,
    uses: int = 1,
    rules: Constraints | None = None,
    name: str = "artifact",
    proofs: Sequence[bundle.Stapled] = (),
) -> bytes:
    """Return the bundle of an authorization for a command as it was measured; another ``name`` makes another one."""
    policy = policy_statement(policy_record(activation=now - 1000), iat=now - 1000)
    made = parts(command, facts, rules, policy=policy)
    cti = sha256(name.encode()).digest()[:16]
    claims = made.claims._replace(iat=now, nbf=now, exp=now + ttl, cti=cti)
    record = made.record._replace(uses=uses)
    issued = issue(made._replace(record=record, claims=claims, iat=now), *logs)
    return bundle.encode(issued._replace(proofs=tuple(proofs)))


def proof(log: Log, size1: int, size2: int | None = None) -> Proof:
    """Return the consistency proof between two sizes of a log, the present one if none is given."""
    size2 = len(log.entries) if size2 is None else size2
    path = tuple(reference.consistency_path(size1, log.entries[:size2]))
    return Proof(log.origin, size1, log.root(size1), size2, log.root(size2), path)
