"""The trust policy: what a file may say, and each thing that is refused when it is loaded (specs/06)."""

from hashlib import sha256

import pytest

from exequatur_verifier import MalformedError, parse_trust
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.note import SignatureType, format_key, note_key
from tests.support import world

ONE, TWO = world.new_log(), world.new_log("other.example/log")
PLAIN = world.trust_toml(ONE, TWO, k=2)
WITNESSES = {name: format_key(world.witness_key(name)) for name in ("a", "b", "c")}
GROUPS = {"pair": '[1, "a", "b"]', "all": '["all", "pair", "c"]'}


def witness(quorum: str = "all", keys: dict[str, str] = WITNESSES, groups: dict[str, str] = GROUPS) -> str:
    return "\n".join(
        (
            PLAIN,
            f'[witness]\nquorum = "{quorum}"\n[witness.keys]',
            *(f'{name} = "{key}"' for name, key in keys.items()),
            "[witness.groups]",
            *(f'"{name}" = {members}' for name, members in groups.items()),
        )
    )


def refuse(text: str, match: str) -> None:
    with pytest.raises(MalformedError, match=match):
        parse_trust(text.encode())


def test_a_policy_is_its_fields_and_its_digest() -> None:
    # T-01 T-02 T-03 T-04 T-05
    trust = parse_trust(PLAIN.encode())
    assert trust.digest == sha256(PLAIN.encode()).digest()
    assert (set(trust.logs), trust.receipts.k, trust.quorum) == ({ONE.origin, TWO.origin}, 2, None)
    assert parse_trust(PLAIN.replace("leeway = 60", "leeway = 60 # s").encode()).digest != trust.digest


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("leeway = 60\n", "", "leeway"),
        ("leeway = 60", "leeway = '60'", "leeway"),
        ("leeway = 60", "leeway = 60\nlee_way = 60", "lee_way"),
        ("[receipts]\nk = 2", "[receipts]\nk = 2\nn = 3", "receipts: .*n"),
        ("max_age = 86400", "max_age = -1", "max_age"),
        ("since = 0", "since = true", "since"),
    ],
)
def test_what_is_unknown_missing_or_of_another_type_is_named(old: str, new: str, match: str) -> None:
    # T-01
    assert old in PLAIN
    refuse(PLAIN.replace(old, new, 1), match)


def test_no_log_counts_as_two() -> None:
    # T-03
    refuse(PLAIN.replace(f'origin = "{TWO.origin}"', f'origin = "{ONE.origin}"'), "log origin stands twice")
    one, two = (world.text_key(log.receipt_signer) for log in (ONE, TWO))
    refuse(PLAIN.replace(two, one), "receipt key of a log stands twice")
    key = note_key(TWO.origin, SignatureType.ED25519, ONE.checkpoint_signer.public_key)
    refuse(PLAIN.replace(format_key(TWO.vkey), format_key(key)), "checkpoint key of a log stands twice")


@pytest.mark.parametrize("k", [0, 3])
def test_receipts_are_wanted_of_one_log_or_of_all(k: int) -> None:
    # T-04
    refuse(PLAIN.replace("k = 2", f"k = {k}"), "receipts.k")


def test_a_checkpoint_key_is_named_like_its_log_and_signs_checkpoints() -> None:
    # T-05 L-22
    key = ONE.checkpoint_signer.public_key
    for other in (
        note_key("else.example", SignatureType.ED25519, key),
        note_key(ONE.origin, SignatureType.COSIGNATURE, key),
    ):
        refuse(PLAIN.replace(format_key(ONE.vkey), format_key(other)), "Ed25519 keys named like the origin")


def test_a_quorum_is_a_witness_a_group_or_none() -> None:
    # T-06 T-07 T-08
    a, b, c = (world.witness_key(name) for name in WITNESSES)
    nested, single = parse_trust(witness().encode()), parse_trust(witness("b").encode())
    assert nested.is_quorum([b, c])
    assert not nested.is_quorum([a, b])
    assert single.is_quorum([b])
    assert not single.is_quorum([a, c])
    assert parse_trust(witness("none").encode()).is_quorum([])
    refuse(witness("nobody"), "no witness or group")


def test_a_witness_stands_once_and_cosigns() -> None:
    # T-06
    again = format_key(note_key("again", SignatureType.COSIGNATURE, world.signer("a", Algorithm.ED25519).public_key))
    refuse(witness(keys={**WITNESSES, "again": again}), "witness key stands twice")
    refuse(witness(keys={**WITNESSES, "d": format_key(ONE.vkey)}), "one for cosignatures")


@pytest.mark.parametrize(
    "groups",
    [
        {"late": '[1, "pair"]', "pair": '[1, "a"]'},
        {"self": '[1, "self"]'},
        {"twice": '[1, "a", "a"]'},
        {"one": '[1, "a"]', "other": '[1, "a", "b"]'},
        {"none": '[1, "a"]'},
        {"a": '[1, "b"]'},
        {"zero": '[0, "a"]'},
        {"more": '[3, "a", "b"]'},
        {"most": '["most", "a", "b"]'},
        {"true": '[true, "a", "b"]'},
        {"number": "[1, 1]"},
    ],
)
def test_a_group_that_cannot_be_is_refused(groups: dict[str, str]) -> None:
    # T-07
    refuse(witness("none", groups=groups), "witness group")
