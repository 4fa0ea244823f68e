"""Vectors that steps 0 to 3 deny: no bundle, bytes out of form, the wrong kind, a stranger's signature."""

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from exequatur_verifier import Code, bundle, cbor, cose
from exequatur_verifier.bundle import Element
from exequatur_verifier.records import Link
from tests.support import world
from tests.support.governed import Consent, Grant
from tests.support.world import NOW
from tests.vectors.flip import denied, edited, logged, opened, raw, receipts, signed, with_receipts
from tests.vectors.form import Vector
from tests.vectors.valid import es256, issued
from tests.vectors.valid_governed import governed, sound

# Step 0 (V-07)


@denied(Code.ARTIFACT_MISSING)
def missing() -> Vector:
    """No bundle was presented."""
    return es256()._replace(bundle=None)


@denied(Code.ARTIFACT_MISSING)
def empty() -> Vector:
    """The bundle is an empty file."""
    return es256()._replace(bundle=b"")


@denied(Code.ARTIFACT_TOO_LARGE)
def too_large() -> Vector:
    # B-10
    """One byte more than 1 MiB; nothing of it is parsed."""
    return raw(lambda data: data + bytes(bundle.MAX_BUNDLE + 1 - len(data)))


# Step 1 (V-08, V-09)


@denied(Code.ARTIFACT_MALFORMED)
def truncated() -> Vector:
    """The last byte is missing."""
    return raw(lambda data: data[:-1])


@denied(Code.ARTIFACT_MALFORMED)
def trailing_byte() -> Vector:
    # C-01
    """A byte follows the bundle."""
    return raw(lambda data: data + b"\x00")


@denied(Code.ARTIFACT_MALFORMED)
def longer_head() -> Vector:
    # C-01
    """The map of the bundle states its length in two bytes where one does."""
    return raw(lambda data: bytes((0xB8, data[0] & 0x1F)) + data[1:])


@denied(Code.ARTIFACT_MALFORMED)
def indefinite_length() -> Vector:
    # C-01
    """The map of the bundle has an indefinite length."""
    return raw(lambda data: b"\xbf" + data[1:] + b"\xff")


@denied(Code.ARTIFACT_MALFORMED)
def tagged() -> Vector:
    # C-02
    """The bundle is tagged as self-described CBOR."""
    return raw(lambda data: b"\xd9\xd9\xf7" + data)


@denied(Code.ARTIFACT_MALFORMED)
def duplicate_key() -> Vector:
    # C-01
    """The version of the bundle stands twice."""
    return raw(lambda data: bytes((data[0] + 1,)) + b"\x61v\x01" + data[1:])


@denied(Code.ARTIFACT_MALFORMED)
def unordered_keys() -> Vector:
    # C-01
    """The version stands at the end of the map instead of its beginning."""
    return raw(lambda data: data[:1] + data[4:] + data[1:4])


@denied(Code.ARTIFACT_MALFORMED)
def unknown_key() -> Vector:
    # B-05
    """The bundle has an element that nobody defined."""
    return raw(lambda data: cbor.encode({**cbor.decode_map(data), "extra": 1}))


@denied(Code.ARTIFACT_MALFORMED)
def bundle_version() -> Vector:
    """The bundle is of version 2."""
    return raw(lambda data: cbor.encode({**cbor.decode_map(data), "v": 2}))


@denied(Code.ARTIFACT_MALFORMED)
def short_salt() -> Vector:
    """The salt has 15 bytes."""
    return edited(es256(), salt=bytes(15))


@denied(Code.ARTIFACT_MALFORMED)
def request_beside() -> Vector:
    # B-06
    """The bundle carries the request, though no step asks who made it."""
    return governed(added={"request": sound(consents=[Consent()]).request})


@denied(Code.ARTIFACT_MALFORMED)
def parents_beside() -> Vector:
    # B-06
    """The bundle carries a grant, though nothing was delegated."""
    return governed(added={"parents": sound(grants=[Grant()]).parents})


@denied(Code.ARTIFACT_MALFORMED)
def another_parent() -> Vector:
    # B-06
    """The grants stand in the wrong order."""
    made = sound(grants=[Grant(), Grant("helper")])
    return governed(grants=[Grant(), Grant("helper")], added={"parents": made.parents[::-1]})


@denied(Code.ARTIFACT_MALFORMED)
def request_of_a_first_grant() -> Vector:
    # B-06
    """The first grant comes with its request, which no step asks for."""
    return governed(grants=[Grant(with_request=True)])


@denied(Code.ARTIFACT_MALFORMED)
def approval_beside() -> Vector:
    # B-06
    """The bundle carries an approval that nothing links."""
    return governed(added={"approvals": sound(consents=[Consent()]).approvals})


@denied(Code.ARTIFACT_MALFORMED)
def approval_of_another_policy() -> Vector:
    # B-06
    """An owner's approval beside the artifact is of another policy record."""
    return governed(owners=[Consent("second-owner", record={"links": (Link("policy", bytes(32)),)})])


@denied(Code.ARTIFACT_MALFORMED)
def approval_twice() -> Vector:
    # B-06
    """The same approval stands in the bundle twice."""
    made = sound(consents=[Consent()])
    return governed(consents=[Consent()], added={"approvals": made.approvals * 2})


@denied(Code.ARTIFACT_MALFORMED)
def status_beside() -> Vector:
    # B-06
    """The bundle carries a status list that nothing names."""
    return governed(status={}, record={"status": None})


@denied(Code.ARTIFACT_MALFORMED)
def status_twice() -> Vector:
    # B-06
    """The same status list stands in the bundle twice."""
    made = sound(status={})
    return governed(status={}, added={"status": made.status * 2})


@denied(Code.ARTIFACT_MALFORMED)
def approval_is_a_policy() -> Vector:
    """A policy record stands in the place of an approval."""
    made = sound(consents=[Consent()])
    assert made.policy is not None
    return governed(consents=[Consent()], added={"approvals": (made.policy,)})


@denied(Code.ARTIFACT_MALFORMED)
def terms_out_of_form() -> Vector:
    #
    """The terms demand a fact that no runtime measures."""
    return edited(es256(), terms=cbor.encode({"facts": {"weather": "fine"}}))


@denied(Code.ARTIFACT_MALFORMED)
def terms_with_a_float() -> Vector:
    # C-02 C-03
    """The terms hold a float, which nothing that is signed may hold."""
    encoded = cbor.encode({"constraints": {"args": {"/uid": ["exact", 1000.5]}}}, floats=True)
    return edited(es256(), terms=encoded)


@denied(Code.ARTIFACT_MALFORMED)
def policy_is_no_statement() -> Vector:
    """What stands for the policy is no statement."""
    policy = opened(es256()).policy
    assert policy is not None
    return edited(es256(), policy=Element(policy.statement[1:], policy.positions))


@denied(Code.ARTIFACT_MALFORMED)
def untagged_artifact() -> Vector:
    """The artifact lacks the tag of COSE_Sign1."""
    return edited(es256(), artifact=opened(es256()).artifact[1:])


@denied(Code.ARTIFACT_MALFORMED)
def second_unprotected_label() -> Vector:
    # C-06
    """Beside its receipts the artifact's unprotected header holds a content type of its own."""
    message = cose.decode(opened(es256()).artifact)
    unprotected = cbor.encode({**message.unprotected, 5: b""})
    return edited(es256(), artifact=cose.assemble(message.protected, message.payload, message.signature, unprotected))


@denied(Code.ARTIFACT_MALFORMED)
def critical_header() -> Vector:
    # C-04
    """A header is marked critical that a verifier of this profile does not know."""
    return logged(signed(headers={2: [-70001], -70001: 1}))


@denied(Code.UNSUPPORTED)
def content_type_is_no_text() -> Vector:
    """The content type is an array."""
    return logged(signed(headers={3: []}))


@denied(Code.ARTIFACT_MALFORMED)
def no_confirmation_key() -> Vector:
    # C-04
    """The artifact is bound to no key."""
    return logged(signed(claims={8: ...}))


@denied(Code.ARTIFACT_MALFORMED)
def subject_is_no_urn() -> Vector:
    """The subject is not a URN."""
    return logged(signed(claims={2: "execution 1"}))


@denied(Code.ARTIFACT_MALFORMED)
def payload_without_version() -> Vector:
    #
    """The payload names no profile version."""
    return logged(signed(payload={"v": ...}))


@denied(Code.ARTIFACT_MALFORMED)
def payload_with_unknown_field() -> Vector:
    #
    """The payload has a field that nobody defined."""
    return logged(signed(payload={"also": True}))


@denied(Code.ARTIFACT_MALFORMED)
def text_not_normalized() -> Vector:
    # C-02
    """The audience is not in Unicode normalization form C."""
    # The Euro sign and the Angstrom sign, which form C spells as a letter, are three bytes each.
    made = logged(signed(claims={3: "runtime \u20ac"}))
    return edited(made, artifact=opened(made).artifact.replace(b"\xe2\x82\xac", b"\xe2\x84\xab"))


@denied(Code.ARTIFACT_MALFORMED)
def receipt_twice() -> Vector:
    # V-09 B-10
    """Two receipts of one log."""
    _, (found,) = receipts(es256())
    return with_receipts(es256(), found, found)


@denied(Code.ARTIFACT_MALFORMED)
def seventeen_receipts() -> Vector:
    # V-09 B-10
    """One receipt more than sixteen."""
    logs = [world.new_log(f"log{number}.example", 0) for number in range(17)]
    entry, _ = receipts(es256())
    return with_receipts(es256(), *(log.receipt(log.append(entry), NOW) for log in logs))


@denied(Code.ARTIFACT_MALFORMED)
def unsigned_size() -> Vector:
    # B-02
    """The receipt's proof is for another size than the signed one, though its path leads to the signed root.

    The path of entry 4 of 5 is also that of entry 8 of 9.
    """
    _, (found,) = receipts(es256())
    return with_receipts(es256(), found.replace(b"\x83\x05\x04", b"\x83\x09\x08"))


@denied(Code.ARTIFACT_MALFORMED)
def receipt_with_payload() -> Vector:
    # B-01
    """The root stands in the receipt, where a verifier might believe it."""
    _, (found,) = receipts(es256())
    message = cose.decode(found)
    log = world.new_log()
    whole = cose.assemble(message.protected, log.root(), message.signature, cbor.encode(message.unprotected))
    return with_receipts(es256(), whole)


# Step 2 (V-10, V-11)


@denied(Code.KIND_MISMATCH)
def not_an_authorization() -> Vector:
    """The artifact is a policy record, duly signed and logged."""
    return logged(world.policy_statement(owner="authority"))


@denied(Code.KIND_MISMATCH)
def grant() -> Vector:
    """The artifact is a grant, which can be delegated but not executed."""
    made = world.parts()
    return issued(made._replace(record=made.record._replace(form="grant")))


@denied(Code.UNSUPPORTED)
def mode() -> Vector:
    """The artifact only observes, into which trust does not opt."""
    made = world.parts()
    return issued(made._replace(record=made.record._replace(mode="observe")))


@denied(Code.UNSUPPORTED)
def mode_of_another_type() -> Vector:
    """Trust opts into the artifact's mode for another type of action."""
    made = world.parts()
    made = made._replace(record=made.record._replace(mode="observe"))
    return issued(made, extra='[modes]\nobserve = ["mcp.tool"]')


@denied(Code.UNSUPPORTED)
def another_mode() -> Vector:
    """Trust opts into another mode than the artifact's."""
    made = world.parts()
    made = made._replace(record=made.record._replace(mode="observe"))
    return issued(made, extra='[modes]\nbreak-glass = ["process.exec"]')


@denied(Code.UNSUPPORTED)
def profile_version() -> Vector:
    """The payload is of version 2 of the profile."""
    return logged(signed(payload={"v": 2}))


@denied(Code.UNSUPPORTED)
def unknown_kind() -> Vector:
    """The content type is of no known kind."""
    return logged(signed(headers={3: "application/vnd.exequatur.warrant+cbor"}))


@denied(Code.UNSUPPORTED)
def unknown_algorithm() -> Vector:
    """The artifact claims to be signed with ES512."""
    return logged(signed(headers={1: -36}))


# Step 3 (V-12, V-13)


@denied(Code.ISSUER_UNTRUSTED)
def issuer() -> Vector:
    """Another issuer's name over the trusted key."""
    made = world.parts()
    return issued(made._replace(claims=made.claims._replace(iss="urn:exequatur:authority:other")))


@denied(Code.ISSUER_UNTRUSTED)
def issuer_key() -> Vector:
    """The trusted issuer's name over another key."""
    return logged(signed(signer=world.signer("stranger")))


@denied(Code.ISSUER_UNTRUSTED)
def action_type() -> Vector:
    """The issuer is trusted for another type of action only."""
    return issued(world.parts(), actions=("mcp.tool",))


@denied(Code.ISSUER_UNTRUSTED)
def index_too_low() -> Vector:
    """The artifact stands before the first index for which its issuer's key is trusted."""
    return issued(world.parts(), issuer="since = 5")


@denied(Code.ISSUER_UNTRUSTED)
def index_too_high() -> Vector:
    """The artifact stands at the index from which its issuer's key is no longer trusted."""
    return issued(world.parts(), issuer="until = 4")


@denied(Code.SIGNATURE_INVALID)
def signature() -> Vector:
    """The artifact's signature has one bit flipped, and was logged like that."""
    artifact = signed()
    return logged(artifact[:-1] + bytes((artifact[-1] ^ 1,)))


@denied(Code.SIGNATURE_INVALID)
def signature_of_another_algorithm() -> Vector:
    # C-11
    """The artifact says ESP256, the trusted key is one for ES256: the same computation, another name."""
    return logged(signed(headers={1: -9}))


@denied(Code.SIGNATURE_INVALID)
def signature_as_der() -> Vector:
    # C-13
    """The signature is spelled as DER and not as r || s."""
    message = cose.decode(signed())
    r, s = (int.from_bytes(half, "big") for half in (message.signature[:32], message.signature[32:]))
    return logged(cose.assemble(message.protected, message.payload, encode_dss_signature(r, s)))
