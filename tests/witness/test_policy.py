"""Witness policies: C2SP tlog-policy files, what they mean, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_log.witness import policy
from exequatur_log.witness.policy import Party, WitnessPolicy
from exequatur_verifier import Algorithm, MalformedError, note
from exequatur_verifier.note import NoteKey
from exequatur_verifier.trust import Group
from tests.support import world

LOGS = [world.new_log(f"log.example/{number}").vkey for number in range(3)]
KEYS = [world.witness_key(f"w.example/{number}") for number in range(8)]
KEYS[7] = world.witness_key("w.example/7", Algorithm.ML_DSA_44)
LOG, ANNA, BERT, CARA, DORA = (note.format_key(key) for key in (LOGS[0], *KEYS[4:]))

NESTED = f"""
# The example of the specification, nearly.
log {LOG}  https://log.example/

\twitness X1 {ANNA}  https://anna.example/w
witness X2 {BERT}
group X any X1 X2
 # indented
witness Y1 {CARA}
witness Y2 {DORA}\thttp://127.0.0.1:8090
group Y 2\tY1 Y2
group both all X Y
quorum both
"""


def parsed(text: str) -> WitnessPolicy:
    return policy.parse(text.encode())


def test_nested_groups_are_a_quorum() -> None:
    # W-01
    found = parsed(NESTED)
    assert found.logs == (Party(LOGS[0], "https://log.example/"),)
    assert [party.url for party in found.witnesses.values()] == [
        "https://anna.example/w",
        None,
        None,
        "http://127.0.0.1:8090",
    ]
    anna, bert, cara, dora = KEYS[4:]
    enough = {(anna, cara, dora), (bert, cara, dora), (anna, bert, cara, dora)}
    for keys in ((), (anna,), (cara, dora), (anna, cara), (anna, bert, dora), *enough):
        assert found.is_quorum(keys) is (keys in enough)


def test_none_asks_for_nobody_and_a_name_for_one() -> None:
    assert parsed("quorum none\n") == WitnessPolicy((), {}, None)
    assert parsed("quorum none\n").is_quorum([])
    one = parsed(f"witness a {ANNA}\nwitness b {BERT}\nquorum b\n")
    assert one.is_quorum([KEYS[5]])
    assert not one.is_quorum([KEYS[4]])


BASE = f"log {LOG}\nwitness a {ANNA}\nwitness b {BERT}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{BASE}quorum a\nquorum a\n", 5),
        (f"{BASE}quorum c\n", 4),
        (f"{BASE}quorum a b\n", 4),
        (f"quorum a\n{BASE}", 1),
        (f"{BASE}log {LOG}\nquorum a\n", 4),
        (f"{BASE}witness c {ANNA}\nquorum a\n", 4),
        (f"{BASE}witness a {CARA}\nquorum a\n", 4),
        (f"{BASE}witness none {CARA}\nquorum a\n", 4),
        (f"{BASE}group a any b\nquorum a\n", 4),
        (f"{BASE}group none any b\nquorum a\n", 4),
        (f"{BASE}group g any b b\nquorum g\n", 4),
        (f"{BASE}group g any a\ngroup h any a b\nquorum h\n", 5),
        (f"{BASE}group g any g\nquorum g\n", 4),
        (f"{BASE}group g any none\nquorum g\n", 4),
        (f"{BASE}group g any c\nquorum g\n", 4),
        (f"{BASE}group g any\nquorum g\n", 4),
        (f"{BASE}group g\nquorum g\n", 4),
        (f"{BASE}group g 0 a b\nquorum g\n", 4),
        (f"{BASE}group g 3 a b\nquorum g\n", 4),
        (f"{BASE}group g 01 a b\nquorum g\n", 4),
        (f"{BASE}group g +1 a b\nquorum g\n", 4),
        (f"{BASE}group g ١ a b\nquorum g\n", 4),
        (f"{BASE}group g most a b\nquorum g\n", 4),
        (f"{BASE}Quorum a\n", 4),
        (f"{BASE}quorum a # the end\n", 4),
        (f"{BASE}quorum\N{NO-BREAK SPACE}a\n", 4),
        (f"log {LOG} http://a http://b\nquorum none\n", 1),
        (f"log {LOG[:-1]}\nquorum none\n", 1),
        (f"witness {ANNA}\nquorum none\n", 1),
        ("log\nquorum none\n", 1),
        *(
            (f"log {LOG} {url}\nquorum none\n", 1)
            for url in (
                "ftp://a",
                "a.example",
                "https://",
                "http://[",
                "http://a:99999",
                "http://a:0",
                "http://u@a",
                "http://a?q",
                "http://a#f",
                "http://a\N{SOFT HYPHEN}",
            )
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_line(text: str, line: int) -> None:
    # W-01
    with pytest.raises(MalformedError, match=f"^line {line} of"):
        parsed(text)


@pytest.mark.parametrize("text", ["", BASE, f"{BASE}quorum a", f"{BASE}quorum a\r\n", f"{BASE}quorum a\n\0\n"])
def test_a_policy_is_whole_lines_of_text_with_a_quorum(text: str) -> None:
    # W-01
    with pytest.raises(MalformedError):
        parsed(text)
    assert parsed(f"{BASE}quorum a\n")


def test_keys_are_of_the_kind_that_their_owner_signs_with() -> None:
    # W-02
    assert parsed(f"log {LOG}\nwitness a {ANNA}\nwitness b {DORA}\nquorum a\n")
    for text in (f"log {ANNA}\n", f"log {DORA}\n", f"witness a {LOG}\n"):
        with pytest.raises(MalformedError, match=r"^line 1 of"):
            parsed(f"{text}quorum none\n")


def test_one_key_under_two_names_stands_twice() -> None:
    # W-01
    log = note.note_key("other.example", LOGS[0].type, LOGS[0].public_key)
    witness = note.note_key("other.example", KEYS[4].type, KEYS[4].public_key)
    for text in (f"log {note.format_key(log)}\n", f"witness z {note.format_key(witness)}\n"):
        with pytest.raises(MalformedError, match=r"^line 4 of"):
            parsed(f"{BASE}{text}quorum a\n")


def test_names_are_octets() -> None:
    # W-01
    data = (
        BASE.encode()
        + b"witness \xff\xfe "
        + CARA.encode()
        + b"\ngroup K any \xff\xfe\ngroup \xe2\x84\xaa any a\nquorum K\n"
    )
    found = policy.parse(data)
    assert found.is_quorum([KEYS[6]])
    assert policy.parse(policy.format(found)) == found


def test_there_is_a_limit_of_each_kind() -> None:
    many = "".join(f"group g{number} any {f'g{number - 1}' if number else 'a'}\n" for number in range(policy.MAX_LINES))
    last = f"g{policy.MAX_LINES - 1}"
    assert parsed(f"{BASE}{many}quorum {last}\n").is_quorum([KEYS[4]])
    with pytest.raises(MalformedError, match=f"^line {policy.MAX_LINES + 4} of"):
        parsed(f"{BASE}{many}group more any {last}\nquorum more\n")
    with pytest.raises(MalformedError):
        policy.parse(b"#" * policy.MAX_BYTES + b"\nquorum none\n")


_URLS = st.none() | st.sampled_from(["https://a.example", "http://[::1]:1/w/", "https://bücher.example/x"])
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Z"]), min_size=1, max_size=4)


@st.composite
def policies(draw: st.DrawFn) -> WitnessPolicy:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True))
    names = draw(
        st.lists(_NAMES.filter(lambda name: name != "none"), min_size=len(keys), max_size=len(keys), unique=True)
    )
    logs = draw(st.lists(st.sampled_from(LOGS), unique=True))
    free: list[NoteKey | Group] = list(keys)
    while len(free) > 1 and draw(st.booleans()):
        members = [free.pop(draw(st.integers(0, len(free) - 1))) for _ in range(draw(st.integers(1, len(free))))]
        free.append(Group(draw(st.integers(1, len(members))), tuple(members)))
    chosen = draw(st.sampled_from([None, *free]))
    quorum = chosen if chosen is None or isinstance(chosen, Group) else Group(1, (chosen,))
    return WitnessPolicy(
        tuple(Party(key, draw(_URLS)) for key in logs),
        {name: Party(key, draw(_URLS)) for name, key in zip(names, keys, strict=True)},
        quorum,
    )


@given(policies())
def test_whatever_is_written_is_read_the_same(value: WitnessPolicy) -> None:
    # W-01
    again = policy.parse(policy.format(value))
    assert again == value
    assert list(again.witnesses) == list(value.witnesses)


@given(
    st.binary(max_size=300) | st.lists(st.sampled_from(NESTED.split("\n"))).map(lambda lines: "\n".join(lines).encode())
)
def test_nothing_but_malformed_is_raised(data: bytes) -> None:
    try:
        found = policy.parse(data)
    except MalformedError:
        return
    assert policy.parse(policy.format(found)) == found
