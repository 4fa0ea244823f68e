"""The trust policy: what it says, and what it must not say."""

from collections.abc import Iterable

import pytest

from exequatur_verifier import Algorithm, MalformedError, Trust, note, parse_trust
from exequatur_verifier.note import SignatureType
from tests.support import world
from tests.vectors.valid import ANNA, BERT, CARA, DORA, QUORUM, witness_keys, witness_quorum

LOGS = (world.new_log(), world.new_log("second.example/log"))
USUAL = world.trust_toml(*LOGS, k=2)


def parsed(text: str) -> Trust:
    return parse_trust(text.encode())


def test_what_it_says() -> None:
    # T-01 T-03 T-04 T-05
    trust = parsed(world.trust_toml(*LOGS, k=2, policy="min_epoch = 3", extra="[enforcement]\nprotected_home = true"))
    assert trust.runtime == (world.RUNTIME, world.signer("runtime").public_key)
    assert [issuer.actions for issuer in trust.issuers] == [("process.exec",)]
    assert list(trust.logs) == [log.origin for log in LOGS]
    assert (trust.receipts.k, trust.leeway, trust.quorum) == (2, 60, None)
    assert (trust.policy.min_epoch, trust.enforcement.protected_home) == (3, True)


def test_its_digest_is_over_the_file() -> None:
    # T-02
    assert parsed(USUAL).digest != parsed(USUAL + "\n").digest


@pytest.mark.parametrize("algorithm", Algorithm)
def test_keys_of_every_algorithm(algorithm: Algorithm) -> None:
    trust = parsed(world.trust_toml(*LOGS, algorithm=algorithm))
    assert trust.issuers[0].keys == (world.signer("authority", algorithm).public_key,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("leeway = 60", ""),
        ("leeway = 60", "leeway = -1"),
        ("leeway = 60", "leeway = 60.0"),
        ("leeway = 60", 'leeway = "60"'),
        ("leeway = 60", "leeway = 60\nlenient = true"),
        ("[runtime]", "[runtimes]"),
        ("since = 0", "since = 0\nforever = true"),
        (f'id = "{world.RUNTIME}"', ""),
        (f'id = "{world.RUNTIME}"', 'id = ""'),
        ("key = ", "key = 1 # "),
        ('key = "', 'key = "!'),
        ('key = "pQ', 'key = "pA'),
        ("actions = ['process.exec']", "actions = []"),
        ("since = 0", "since = true"),
        ("max_age = 86400", "max_age = 1979-05-27"),
        ('genesis = "', 'genesis = "00'),
        ('genesis = "', 'genesis = "x'),
        ("k = 2", "k = 0"),
        ("k = 2", "k = 3"),
        (LOGS[1].origin, LOGS[0].origin),
        (world.text_key(LOGS[1].receipt_signer), world.text_key(LOGS[0].receipt_signer)),
        (note.format_key(LOGS[1].vkey), note.format_key(LOGS[0].vkey)),
        (note.format_key(LOGS[1].vkey), note.format_key(world.witness_key(LOGS[1].origin))),
        (note.format_key(LOGS[1].vkey), "vkey"),
    ],
)
def test_one_thing_that_must_not_be(old: str, new: str) -> None:
    # T-01 T-03 T-04 T-05
    assert old in USUAL
    with pytest.raises(MalformedError):
        parsed(USUAL.replace(old, new))


@pytest.mark.parametrize(
    "extra",
    [
        "[policy]",
        "[modes]\nobserve = 1",
        "[modes]\nenforce = ['process.exec']",
        "[approvals]\nmodes = { enforce = 1 }",
        "[approvals]\nrequired = { 'process.exec' = '1' }",
        "[status]\nrequired = 1",
        "[[approvers]]\niss = 'urn:x:y'",
        "[enforcement]\nrequired = [1]",
        "[enforcement]\nprotected_home = 1",
        "[unknown]",
        "[[logs]]",
    ],
)
def test_one_section_that_must_not_be(extra: str) -> None:
    # T-01
    with pytest.raises(MalformedError):
        parsed(world.trust_toml(*LOGS, extra=extra))


OWNER = f'owners = ["{world.text_key(world.signer("owner"))}"]'


@pytest.mark.parametrize(
    "owners", [f"{OWNER}\nthreshold = 0", f"{OWNER}\nthreshold = 2", OWNER.replace("]", ", ") + OWNER[10:]]
)
def test_owners_that_cannot_be(owners: str) -> None:
    # T-10
    text = world.trust_toml(*LOGS)
    assert parsed(text.replace(OWNER, f"{OWNER}\nthreshold = 1")).policy.threshold == 1
    with pytest.raises(MalformedError):
        parsed(text.replace(OWNER, owners))


def test_what_is_no_toml() -> None:
    for data in (b"\xff", b"leeway", b"a = 1\na = 2"):
        with pytest.raises(MalformedError):
            parse_trust(data)


def test_a_quorum_of_nested_groups() -> None:
    # T-07 T-09
    trust = parsed(witness_quorum().trust)
    satisfied = {(ANNA, DORA), (BERT, DORA), (ANNA, BERT, DORA)}
    for keys in ((), (ANNA,), (ANNA, BERT), (DORA,), (CARA, DORA), (ANNA, ANNA), *satisfied):
        assert trust.is_quorum(keys) is (keys in satisfied)


def groups(*lines: str, quorum: str = "g") -> str:
    listed = "\n".join(("[witness.groups]", *lines))
    return world.trust_toml(*LOGS, extra=f'[witness]\nquorum = "{quorum}"\n{witness_keys(ANNA, BERT, CARA)}\n{listed}')


@pytest.mark.parametrize(
    ("line", "least", "members"),
    [('g = ["any", "w1", "w2"]', 1, 2), ('g = ["all", "w1", "w2", "w3"]', 3, 3), ('g = [2, "w1", "w2", "w3"]', 2, 3)],
)
def test_thresholds(line: str, least: int, members: int) -> None:
    # T-07
    quorum = parsed(groups(line)).quorum
    assert quorum is not None
    assert (quorum.least, len(quorum.members)) == (least, members)


def test_one_witness_and_none() -> None:
    # T-08
    assert parsed(groups(quorum="w2")).is_quorum([BERT])
    assert not parsed(groups(quorum="w2")).is_quorum([ANNA])
    unasked: Iterable[note.NoteKey] = ()
    assert parsed(groups(quorum="none")).is_quorum(unasked)
    assert parsed(USUAL).is_quorum(unasked)


@pytest.mark.parametrize(
    "lines",
    [
        ("g = []",),
        ('g = ["any"]',),
        ('g = ["most", "w1"]',),
        ('g = [0, "w1"]',),
        ('g = [2, "w1"]',),
        ('g = [true, "w1"]',),
        ('g = [1.0, "w1"]',),
        ("g = [[], 1]",),
        ('g = ["any", "w9"]',),
        ('g = ["any", "g"]',),
        ('g = ["any", 1]',),
        ('g = ["any", []]',),
        ('g = ["any", "h"]', 'h = ["any", "w1"]'),
        ('g = ["any", "w1", "w1"]',),
        ('h = ["any", "w1"]', 'g = ["any", "h", "w1"]'),
        ('w1 = ["any", "w2"]', 'g = ["any", "w2"]'),
        ('none = ["any", "w1"]', 'g = ["any", "w2"]'),
        (),
    ],
)
def test_groups_that_cannot_be(lines: tuple[str, ...]) -> None:
    # T-07 T-08
    with pytest.raises(MalformedError):
        parsed(groups(*lines))


def test_a_witness_key_is_one_for_cosignatures_and_stands_once() -> None:
    # T-06
    log_key = note.note_key("anna.example", SignatureType.ED25519, ANNA.public_key)
    other_name = note.note_key("again.example", SignatureType.COSIGNATURE, ANNA.public_key)
    for keys in ((log_key,), (ANNA, other_name)):
        with pytest.raises(MalformedError):
            parsed(world.trust_toml(*LOGS, extra=f'[witness]\nquorum = "w1"\n{witness_keys(*keys)}'))
    assert parsed(world.trust_toml(*LOGS, extra=QUORUM)).witnesses == (ANNA, BERT, DORA)
