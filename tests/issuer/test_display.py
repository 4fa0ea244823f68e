"""What an approver is shown reads as what it is: whatever would not is escaped, and said in words."""

import unicodedata
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exequatur_issuer.display import WHOLE, describe, escape
from tests.support import world


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("git push", '"git push"'),
        ('say "hi" \\n', '"say \\"hi\\" \\\\n"'),
        (b"--version", '"--version"'),
        ("", '""'),
        (1, "1"),
        (1.0, "1.0"),
        (-3, "-3"),
        (True, "true"),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
        ("café", '"café"'),
        ("Größe 5 €", '"Größe 5 €"'),
        ("東京タワー", '"東京タワー"'),
        ("서울", '"서울"'),
        ("हिन्दी", '"हिन्दी"'),
    ],
)
def test_ordinary_values_are_shown_as_they_are(value: Any, text: str) -> None:
    #
    assert escape(value) == (text, ())


@pytest.mark.parametrize(
    ("value", "text", "warning"),
    [
        ("\x1b[2Jrm", '"\\x1b[2Jrm"', "terminal obeys"),
        ("a\x7fb", '"a\\x7fb"', "terminal obeys"),
        ("a\x9bb", '"a\\x9bb"', "terminal obeys"),
        ("safe\nrm -rf /", '"safe\\x0arm -rf /"', "line ends"),
        ("a\tb", '"a\\x09b"', "line ends or tabs"),
        ("a\u2028b", '"a\\u2028b"', "line ends"),
        ("a\xa0b", '"a\\xa0b"', "spaces"),
        ("a\u3000b", '"a\\u3000b"', "spaces"),
        ("photo\u202egpj.exe", '"photo\\u202egpj.exe"', "direction"),
        ("a\u2066b\u2069", '"a\\u2066b\\u2069"', "direction"),
        ("a\u200fb", '"a\\u200fb"', "direction"),
        ("a\u200bb", '"a\\u200bb"', "do not show"),
        ("a\ufeffb", '"a\\ufeffb"', "do not show"),
        ("a\U000e0041b", '"a\\U000e0041b"', "do not show"),
        ("p\u0430ypal", '"p\\u0430ypal"', "Cyrillic"),
        ("\u0440\u0430\u0443\u0440\u0430l", '"\\u0440\\u0430\\u0443\\u0440\\u0430l"', "Cyrillic"),
        ("\u03bf", '"\\u03bf"', "Greek"),
        ("g\u0131t", '"g\\u0131t"', "Latin letters"),
        ("\u0251dmin", '"\\u0251dmin"', "Latin letters"),
        ("\uff47it", '"\\uff47it"', "several scripts"),
        ("\U0001d420it", '"\\U0001d420it"', "script"),
        ("e\u0301", '"e\\u0301"', "marks"),
        ("q\u0301", '"q\\u0301"', "marks"),
        ("\u05d0\u05d1", '"\\u05d0\\u05d1"', "right to left"),
        ("\u0663", '"\\u0663"', "right to left"),
        ("a\u2215b", '"a\\u2215b"', "none of ASCII"),
        ("\u096a", '"\\u096a"', "none of ASCII"),
        ("a東", '"a\\u6771"', "several scripts"),
        ("\ue000", '"\\ue000"', "without a meaning"),
        (b"\xff\x00", '"\\xff\\x00"', "no text"),
        ("a" + " " * 40 + "b", '"a\\{40 spaces}b"', "out of sight"),
    ],
)
def test_what_could_read_as_something_else_is_escaped_and_said(value: Any, text: str, warning: str) -> None:
    #
    shown = escape(value)
    assert shown.text == text
    assert any(warning in one for one in shown.warnings), shown.warnings


def test_long_value_says_what_it_hides() -> None:
    #
    tail = "; rm -rf /"
    text = "x" * WHOLE + tail
    shown = escape(text)
    assert tail in shown.text
    assert sha256(text.encode()).hexdigest() in shown.text
    assert f"{len(text) - 2048} characters not shown" in shown.text
    assert f"{len(text) - 2048} of {len(text)} characters are not shown" in shown.warnings
    assert escape("x" * WHOLE) == (f'"{"x" * WHOLE}"', ())


def test_what_is_hidden_in_the_middle_is_warned_of() -> None:
    #
    assert any("terminal" in one for one in escape("x" * WHOLE + "\x1b" + "x" * WHOLE).warnings)


@given(st.text() | st.binary())
def test_shown_values_hold_nothing_that_turns_hides_or_ends_a_line(value: str | bytes) -> None:
    #
    shown = escape(value).text
    assert shown[0] == shown[-1] == '"'
    for character in shown:
        assert character == " " or unicodedata.category(character)[0] in "LMPSN", repr(character)
        assert character.isascii() or unicodedata.bidirectional(character) not in ("R", "AL", "AN")


@given(st.lists(st.text(max_size=6) | st.binary(max_size=6), min_size=2, max_size=2, unique=True))
def test_different_values_look_different(values: list[str | bytes]) -> None:
    #
    one, other = (escape(value, named=True).text for value in values)
    assert one != other


def test_action_is_shown_value_by_value() -> None:
    #
    found = {line.place: line.text for line in describe(world.COMMAND)}
    assert found == {
        "/type": '"process.exec"',
        "/name": '"/usr/bin/git"',
        "/args/0": '"git"',
        "/args/1": '"--version"',
        "/cwd": '"/srv/work"',
        "/env/PATH": '"/usr/bin:/bin"',
        "/uid": "1000",
    }


def test_names_are_escaped_like_values() -> None:
    #
    call = {"type": "mcp.tool", "name": "book", "resource": "urn:x:y", "args": {"a/b~\x1b": b"x", "n": [], "s": {}}}
    found = {line.place: line for line in describe(call)}
    assert found["/args/a~1b~0\\x1b"].text == 'bytes "x"'
    assert any(one.startswith("its name has control") for one in found["/args/a~1b~0\\x1b"].warnings)
    assert (found["/args/n"].text, found["/args/s"].text) == ("[]", "{}")
