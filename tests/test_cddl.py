"""records.cddl against the kernel: what the kernel writes validates, and one thing changed does not."""

from typing import Any

import pytest
from cddl_verifier import Validator, schema_diagnostics

from exequatur_verifier import action, bundle, cbor, constraints, cose, records, schema, statement
from exequatur_verifier.constraints import Constraints, Limits, Process, Sandbox, Terms
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.match import parse_matcher
from exequatur_verifier.records import Kind, Link, Record
from exequatur_verifier.statement import Claims
from tests.data import ROOT
from tests.support import world

CDDL = ROOT / "specs" / "records.cddl"
VALIDATOR = Validator(CDDL)

ID = bytes(range(32))
UNIQUE = bytes(range(16))
URN = "urn:exequatur:test:1"
LINKS = (Link("request", ID), Link("policy", ID))
KEY = cbor.decode_map(world.signer("runtime").public_key.encoded)
EPOCH = records.Epoch(URN, 3)
ACTION = records.Action("process.exec", ID)
DISCLOSED = records.Disclosed(UNIQUE, b"content")

# For each kind a record with every field, and one with the least.
SAMPLES: list[Record] = [
    records.Request(LINKS, ACTION, "runtime", {"confirmed": True, "n": [1, None]}, 300, 1, DISCLOSED),
    records.Request((), ACTION, "runtime", {}),
    records.Decision(
        LINKS, "deny", ("p1",), ("what\nwent wrong",), records.Engine("cedar", "4.12"), ID, 7, "POLICY_FORBID"
    ),
    records.Decision((), "needs-approval", (), (), records.Engine("cedar", "4.12"), None, 0),
    records.Authorization(
        LINKS, "grant", "break-glass", ACTION, ID, 2, EPOCH, 1, 3, records.StatusEntry(URN, 9), DISCLOSED
    ),
    records.Authorization((), "action", "enforce", ACTION, ID, 1, EPOCH),
    records.Verification(
        LINKS, 1, ID, ((0, "passed"),), ID, (records.Head("log", 5, ID),), ID, ("pidfd",), "protected", 1
    ),
    records.Verification((), 0, None, (), ID, (), ID, (), "unprotected", 1),
    records.Outcome(LINKS, 2, ID, "killed", 1, 2, -1, 9, ID, ID, records.Resources(1, 2, 3, 4), ("wall",), "detail"),
    records.Outcome((), 2, ID, "orphaned"),
    records.Enforcement(LINKS, 3, ID, "deny", "EXPIRED", 7, "detail", 100, 4, ID),
    records.Enforcement((), 0, None, "gap", "LINK_MISSING"),
    records.Policy(LINKS, URN, 2, "cedar", ID, ID, ID, ID, 100, 2),
    records.Policy((), URN, 1, "cedar", ID, ID, ID, ID, 0),
    records.Approval(LINKS, ID, "task", 1),
    records.Status(LINKS, URN, 1, 100, 2, b"packed", ("s",), (ID,), (ID,), (EPOCH,)),
    records.Status((), URN, 0, 100, 1, b""),
    records.Enrolment(
        (), "genesis", "log", KEY, (), (), 0, None, "origin", (KEY,), ("vkey",), records.Registration(65_535, 300)
    ),
    records.Enrolment(LINKS, "key", "issuer", KEY, (Kind.REQUEST, Kind.OUTCOME), ("process.exec",), 4, 9),
    records.Enrolment((), "registration", registration=records.Registration(4096, 0)),
]
each_sample = pytest.mark.parametrize("record", SAMPLES, ids=lambda record: type(record).__name__)
RULES = Constraints(
    args={
        "/args/0": parse_matcher(["exact", b"git"]),
        "/args/*": parse_matcher(["one_of", ["git", 1, None]]),
        "/name": parse_matcher(["subpath", "/usr/bin"]),
        "/cwd": parse_matcher(["prefix", "/srv"]),
        "/uid": parse_matcher(["range", [None, 1000]]),
        "/a": parse_matcher(["glob", "*.txt"]),
        "/b": parse_matcher(["url_host", ["*.example"]]),
    },
    process=Process((ID,), ("PATH",), (1000,), "path", "path"),
    sandbox=Sandbox(("/",), ("/tmp",), ("/usr",), (443,), ("pidfd",)),
    limits=Limits(1, 2, 3, 4, 5, 6, 7),
    lease_s=30,
)


def fits(data: bytes, rule: str) -> bool:
    return bool(VALIDATOR.validate(data, root_type=rule).valid)


def signed(record: Record, algorithm: Algorithm = Algorithm.ES256) -> bytes:
    kind = schema.KIND_OF[type(record)]
    claims = Claims("issuer", URN, 1, UNIQUE)
    if kind is Kind.AUTHORIZATION:
        claims = claims._replace(aud="runtime", exp=9, nbf=1, cnf=cbor.encode(KEY))
    if kind is Kind.APPROVAL:
        claims = claims._replace(exp=9)
    return statement.sign(record, claims, world.signer("signer", algorithm))


def changed(data: bytes, headers: dict[int, Any] | None = None, fields: dict[str, Any] | None = None) -> bytes:
    """Return the statement with other claims or other fields, signature and all else as they were."""
    message = cose.decode(data)
    protected = cbor.encode({**message.headers, **(headers or {})})
    payload = cbor.encode({**cbor.decode_map(message.payload or b""), **(fields or {})})
    return cose.assemble(protected, payload, message.signature)


def test_the_rules_themselves_are_in_order() -> None:
    assert schema_diagnostics(CDDL) == ()
    assert list(VALIDATOR.warnings) == []


def test_samples_cover_every_kind() -> None:
    assert {type(record) for record in SAMPLES} == set(schema.KIND_OF)


@each_sample
def test_what_the_kernel_signs_validates(record: Record) -> None:
    data = signed(record)
    assert statement.parse(data).record == record
    assert fits(data, f"{statement.parse(data).kind.value}-statement")
    assert fits(data, "statement")


@each_sample
def test_an_unknown_field_or_version_is_refused_by_both(record: Record) -> None:
    # R-01 R-02
    data = signed(record)
    assert statement.parse(changed(data)).record == record
    for fields in ({"x": 1}, {"v": 2}, {"links": [["request", ID[1:]]]}):
        flipped = changed(data, fields=fields)
        assert not fits(flipped, "statement")
        with pytest.raises(MalformedError):
            statement.parse(flipped)


@each_sample
def test_a_missing_or_foreign_claim_is_refused_by_both(record: Record) -> None:
    # C-04
    data = signed(record)
    claims = cose.decode(data).headers[cose.CWT_CLAIMS]
    for flipped_claims in ({**claims, 9: "scope"}, {label: value for label, value in claims.items() if label != 7}):
        flipped = changed(data, headers={cose.CWT_CLAIMS: flipped_claims})
        assert not fits(flipped, "statement")
        with pytest.raises(MalformedError):
            statement.parse(flipped)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_key_of_the_profile_validates(algorithm: Algorithm) -> None:
    key = world.signer("any", algorithm).public_key.encoded
    assert fits(key, "cose-key")
    assert not fits(cbor.encode({**cbor.decode_map(key), 2: b"kid"}), "cose-key")
    assert fits(signed(SAMPLES[1], algorithm), "request-statement")


def test_bundle_terms_and_receipt_validate() -> None:
    log = world.new_log()
    made = world.issue(world.parts(rules=RULES), log)
    stapled = bundle.Stapled(log.origin, 2, log.root(2), (ID,))
    whole = made._replace(checkpoints=(log.checkpoint(),), proofs=(stapled,))
    assert fits(bundle.encode(whole), "bundle")
    assert fits(made.terms, "terms")
    assert constraints.decode_terms(made.terms).constraints == RULES
    message = cose.decode(made.artifact)
    (receipt,) = message.unprotected[cose.RECEIPTS]
    assert fits(receipt, "receipt")
    assert not fits(bundle.encode(whole._replace(salt=UNIQUE[1:])), "bundle")
    assert not fits(cbor.encode({**cbor.decode_map(bundle.encode(whole)), "x": 1}), "bundle")
    assert not fits(cbor.encode({**cbor.decode_map(made.terms), "x": 1}), "terms")
    assert not fits(
        statement.attach(statement.parse_transparent(made.artifact)[0].entry, (b"",)), "transparent-statement"
    )


def test_least_terms_validate() -> None:
    encoded = constraints.encode_terms(Terms())
    assert encoded == b"\xa0"
    assert fits(encoded, "terms")


def test_descriptors_validate() -> None:
    call = {"type": "mcp.tool", "name": "book", "resource": "urn:x", "args": {"a": 1.5, "b": [None, {"c": "d"}]}}
    assert fits(action.encode(world.COMMAND), "descriptor")
    assert fits(action.encode(call), "descriptor")
    assert not fits(cbor.encode({**world.COMMAND, "cwd": "/srv"}), "descriptor")
    assert not fits(cbor.encode({**call, "type": "process.exec"}, floats=True), "descriptor")
