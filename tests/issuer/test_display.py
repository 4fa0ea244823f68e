"""What an approver reads: all of it, as it is."""

import pytest

from exequatur_issuer.display import describe, escape


@pytest.mark.parametrize(
    ("value", "shown", "warned"),
    [
        ("plain text", '"plain text"', 0),
        (b"/usr/bin/git", '"/usr/bin/git"', 0),
        ("ends with a space ", '"ends with a space "', 0),
        ('a "quote" and \\', '"a \\"quote\\" and \\\\"', 0),
        ("line\nbreak", '"lineU+000Abreak"', 1),
        ("right\u202eleft", '"rightU+202Eleft"', 1),
        ("zero\u200bwidth", '"zeroU+200Bwidth"', 1),
        ("no\u00a0break", '"noU+00A0break"', 1),
        # The second letter is Cyrillic.
        ("p\u0430ypal.example", '"p\u0430<U+0430>ypal.example"', 1),
        ("Z\u00fcrich", '"Z\u00fc<U+00FC>rich"', 0),
        (b"\xff\x00", '"\\xffU+0000"', 2),
        ("x" * 200, '"' + "x" * 200 + '"', 0),
        # Nothing is cut, and that it is long is said.
        ("x" * 201 + "; rm -rf /", '"' + "x" * 201 + '; rm -rf /"', 1),
    ],
)
def test_escapes(value: str | bytes, shown: str, warned: int) -> None:
    #
    text, warnings = escape(value)
    assert (text, len(warnings)) == (shown, warned)


def test_every_value_of_an_action_stands_in_its_place() -> None:
    #
    descriptor = {
        "type": "mcp.tool",
        "name": "send_money",
        "resource": "urn:example:bank",
        "args": {"to": "DE89", "amount": 12.5, "urgent": True, "notes": [], "more": {}, "list": ["a", None, 7]},
    }
    assert [(line.place, line.text) for line in describe(descriptor)] == [
        ("/type", '"mcp.tool"'),
        ("/name", '"send_money"'),
        ("/resource", '"urn:example:bank"'),
        ("/args/to", '"DE89"'),
        ("/args/amount", "12.5"),
        ("/args/urgent", "true"),
        ("/args/notes", "[]"),
        ("/args/more", "{}"),
        ("/args/list/0", '"a"'),
        ("/args/list/1", "null"),
        ("/args/list/2", "7"),
    ]


def test_a_name_that_hides_something_is_warned_of_too() -> None:
    #
    lines = describe({"args": {"to\u202e": "me"}})
    assert lines[0].place == '/args/"toU+202E"'
    assert lines[0].warnings
    assert (lines[1].place, lines[1].text) == ('/args/"toU+202E"', '"me"')
