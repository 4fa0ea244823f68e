"""What an approver is shown: exactly the data that the digest binds, so that it reads as what it is (specs/09 §2.1).

Nothing is cut, and nothing is shown that could pass for something else: control and format characters, which hide or
reorder what is on a screen, are spelled out, and so are letters that look like others. Every value is quoted, so that
spaces at its end show, and long ones say how long they are.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from exequatur_verifier.action import Descriptor

_LONG: Final = 200
# Categories that do not show, or show elsewhere than they stand.
_HIDDEN: Final = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"))


class Line(NamedTuple):
    """A value by its place in the descriptor, escaped, and what a reader is warned of."""

    place: str
    text: str
    warnings: tuple[str, ...] = ()


def describe(descriptor: Descriptor) -> list[Line]:
    """Return every value of an action, in order, escaped."""
    return list(_walk("", descriptor))


def escape(value: str | bytes) -> tuple[str, tuple[str, ...]]:
    """Return a value as one quoted line of ASCII and harmless letters, and what is odd about it.

    Bytes are read as UTF-8; those that are none are spelled in hexadecimal.
    """
    text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
    warnings: list[str] = []
    out: list[str] = []
    hidden = looks_like = foreign = False
    for character in text:
        if 0xDC80 <= ord(character) <= 0xDCFF:
            out.append(f"\\x{ord(character) - 0xDC00:02x}")
            foreign = True
        elif character in ('"', "\\"):
            out.append("\\" + character)
        elif character == " " or (character.isascii() and character.isprintable()):
            out.append(character)
        elif unicodedata.category(character) in _HIDDEN or character.isspace():
            out.append(_spelled(character))
            hidden = True
        else:
            # A letter of another script may look like one of this; both are shown.
            out.append(f"{character}<{_spelled(character)}>")
            looks_like = True
    if hidden:
        warnings.append("holds characters that do not show")
    if looks_like and _is_mixed(text):
        warnings.append("mixes letters of several scripts, which can look alike")
    if foreign:
        warnings.append("holds bytes that are no text")
    if len(text) > _LONG:
        warnings.append(f"is {len(text):,} characters long: read it to its end")
    return '"' + "".join(out) + '"', tuple(warnings)


def _walk(place: str, value: Any) -> Iterator[Line]:
    if isinstance(value, Mapping):
        if not value:
            yield Line(place, "{}")
        for key, item in value.items():
            name, warnings = escape(key)
            plain = name[1:-1] if not warnings and name[1:-1].replace("_", "").isalnum() else name
            if warnings:
                yield Line(f"{place}/{name}", "(the name of what follows)", warnings)
            yield from _walk(f"{place}/{plain}", item)
    elif isinstance(value, list | tuple):
        if not value:
            yield Line(place, "[]")
        for number, item in enumerate(value):
            yield from _walk(f"{place}/{number}", item)
    elif isinstance(value, str | bytes):
        yield Line(place, *escape(value))
    else:
        yield Line(place, json.dumps(value))


def _spelled(character: str) -> str:
    return f"U+{ord(character):04X}"


def _is_mixed(text: str) -> bool:
    """Say whether letters of more than one script stand in a text, by the first word of their names."""
    scripts = {unicodedata.name(character, "?").partition(" ")[0] for character in text if character.isalpha()}
    return len(scripts) > 1
