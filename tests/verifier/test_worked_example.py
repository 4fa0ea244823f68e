"""A statement, a receipt, a checkpoint and a note that were made by hand with other code, and decode and verify here.

The seeds are 00..1f for the issuer, 20..3f for the log and 40..5f for the witness. The example is not of the profile:
its receipt signs no size and is Ed25519, so the profile's parser refuses it; the bytes beneath must agree all the same.
"""

from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from exequatur_verifier import MalformedError, PublicKey, cbor, checkpoint, cose, merkle, note, receipt
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import SignatureType
from exequatur_verifier.signing import LocalSigner
from tests.support import reference


def signer(first: int) -> LocalSigner:
    seed = bytes(range(first, first + 32))
    return LocalSigner(ed25519.Ed25519PrivateKey.from_private_bytes(seed), Algorithm.ED25519)


ISSUER, LOG, WITNESS = signer(0), signer(0x20), signer(0x40)
HEADERS = {
    3: "application/cbor",
    4: ISSUER.public_key.thumbprint,
    15: {1: "https://issuer.example", 2: "urn:example:req:1"},
}
STATEMENT = cose.sign1(HEADERS, cbor.encode({1: "allow"}), ISSUER)
ENTRIES = [b"one", b"two", STATEMENT, b"four", b"five"]
LOG_KEY = "ts.example/log+23e530cb+ASmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
WITNESS_KEY = "w.example+53079fa8+BCVDuS/xCVURR2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd"
NOTE = """ts.example/log
5
h1jklcfSkkYlrBigcMMSyztXc4qJEmxUrWyd8QULoHw=

— ts.example/log I+Uwy11HUNz99RofgGPiHLJ1WzPloHnebRw1KZylJSUaO2KxloneEsqK+YHxSL1GoPlcU5GXnyh+pkBDDLx+aRjVjA8=
— w.example UwefqAAAAABo53gAsRBBjYPBjtWzZBzfCxsQ0B5nB8DF1Fsu3CQPJqqBifoaOrcqsDQ3Uk7vqp5gAAd7zUvOBWlUIQiHeZF9oZvjBg==
""".encode()


def test_statement() -> None:
    assert len(STATEMENT) == 181
    assert sha256(STATEMENT).hexdigest() == "cd81caed177e8655fb7cfe0045f6ec1c0ab98a3250d4ae829120d3081b4d0243"
    message = cose.decode(STATEMENT)
    assert message.payload is not None
    signed = cose.signed_bytes(message.protected, message.payload)
    assert sha256(signed).hexdigest() == "2de201fd3b8d2bd6aa6eaec08a829bc8089f8f5e8c240064ab104c04aa710894"


def test_thumbprints() -> None:
    assert ISSUER.public_key.thumbprint.hex() == "be5de2f4bcdc383add3fc9827d345f1a37c6a06026b38696fb3229c003b35f49"
    assert LOG.public_key.thumbprint.hex() == "ea671729aa29c6140b5129b8d59e13fd9fbd4b96e37b3c5185fb11c3eeeac554"


def test_tree() -> None:
    leaf = merkle.leaf_hash(STATEMENT)
    path = reference.inclusion_path(2, ENTRIES)
    root5, root3 = reference.root(ENTRIES), reference.root(ENTRIES[:3])
    assert leaf.hex() == "ee77cab9716896198be0430e1440736b4640468c2ae729072ba96c29847ead5c"
    assert root3.hex() == "7f43dc4e9a55af147f7852dc1f5a8bcb46ca72ed97332f448b8ddd7352f6bc85"
    assert root5.hex() == "8758e495c7d2924625ac18a070c312cb3b57738a89126c54ad6c9df1050ba07c"
    assert merkle.root_from_inclusion(2, 5, leaf, path) == root5
    merkle.check_consistency(3, 5, root3, root5, [leaf, *path])


def transparent_statement() -> bytes:
    """Return the statement with the example's receipt, whose head signs neither origin nor size."""
    claims = {1: "https://ts.example", 2: "urn:example:req:1"}
    headers = {1: -19, 4: LOG.public_key.thumbprint, 15: claims, 395: 1}
    protected = cbor.encode(headers)
    head = receipt.HeadSignature(protected, LOG.sign(cose.signed_bytes(protected, reference.root(ENTRIES))))
    whole = receipt.encode(head, receipt.Inclusion(5, 2, tuple(reference.inclusion_path(2, ENTRIES))))
    assert len(whole) == 269
    assert sha256(whole).hexdigest() == "947aaf0cb2b2f8262ea9a71b429f0a58443a8bd96d534bcc6468268a74f5c234"
    with pytest.raises(MalformedError):
        receipt.parse(whole)
    message = cose.decode(STATEMENT)
    return cose.assemble(message.protected, message.payload, message.signature, cbor.encode({394: [whole]}))


def test_receipt_and_transparent_statement() -> None:
    whole = transparent_statement()
    assert len(whole) == 457
    assert sha256(whole).hexdigest() == "af5ddbf7018265fb84585ad3b494a2f0bf76803dc016180c86eeeb8e4d74288a"


def test_verifier_keys() -> None:
    log_key, witness_key = note.parse_key(LOG_KEY), note.parse_key(WITNESS_KEY)
    assert log_key == note.note_key("ts.example/log", SignatureType.ED25519, LOG.public_key)
    assert witness_key == note.note_key("w.example", SignatureType.COSIGNATURE, WITNESS.public_key)


def test_cosigned_checkpoint() -> None:
    log_key, witness_key = note.parse_key(LOG_KEY), note.parse_key(WITNESS_KEY)
    opened = checkpoint.open(NOTE, [log_key], [witness_key])
    assert opened.checkpoint == ("ts.example/log", 5, reference.root(ENTRIES))
    assert list(opened.cosigned) == [witness_key]
    assert opened.ignored == ()
    lines = (
        checkpoint.sign(opened.checkpoint, log_key, LOG),
        checkpoint.cosign(opened.checkpoint, opened.cosigned[witness_key], witness_key, WITNESS),
    )
    assert note.format(checkpoint.format(opened.checkpoint), lines) == NOTE


def test_key_of_the_thumbprint_specification() -> None:
    key = PublicKey(
        {
            1: 2,
            3: -7,
            -1: 1,
            -2: bytes.fromhex("65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"),
            -3: bytes.fromhex("1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c"),
        }
    )
    assert key.thumbprint.hex() == "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"


def test_note_of_the_specification() -> None:
    key = note.parse_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    data = (
        "This is an example message.\n\n— example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    ).encode()
    parsed = note.parse(data)
    (line,) = parsed.signatures
    assert (line.name, line.key_id) == (key.name, key.key_id)
    key.public_key.verify(line.signature, parsed.text.encode())
