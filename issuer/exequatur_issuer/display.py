r"""Display: what an approver is shown of an action, so that it reads as what it is (specs/09 §2.1).

Everything is recomputed from the bytes that the commitment is taken over, and each value stands on a line of its own
under its JSON pointer. A value is written in ASCII between quotes, with escapes for whatever could read as something
else than it is: control characters and line ends, characters that turn the direction or do not show, spaces in runs,
bytes that are no UTF-8, letters of other scripts that look like Latin ones, and compatibility forms. Letters of one
script that is not easily mistaken stay as they are.

    "\x1b[2J"             an escape sequence of a terminal            "\u202egpj.exe"      a change of direction
    "p\u0430ypal"         a Cyrillic letter among Latin ones          "a\{40 spaces}b"     a run of spaces

No value is ever cut without saying so: one longer than ``WHOLE`` shows its beginning and its end, how many characters
are between them, and the SHA-256 of all of it. Each oddity is also a warning in words.
"""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from exequatur_verifier.action import Descriptor

WHOLE: Final = 4096
_PART: Final = 1024
_RUN: Final = 4

# Scripts whose letters are not commonly mistaken for Latin ones, by the first word of a character's name.
_DISTINCT: Final = frozenset(
    ("BENGALI", "CJK", "DEVANAGARI", "GUJARATI", "GURMUKHI", "HANGUL", "HIRAGANA", "KANNADA", "KATAKANA",
      "KHMER", "LAO", "MALAYALAM", "MYANMAR", "SINHALA", "TAMIL", "TELUGU", "THAI", "TIBETAN")
)  # fmt: skip
# Scripts that are written together.
_TOGETHER: Final = (frozenset(("CJK", "HIRAGANA", "KATAKANA")), frozenset(("CJK", "HANGUL")))
_LOOKALIKE: Final = frozenset(("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GEORGIAN", "GREEK", "LISU"))
_SHOWN: Final = frozenset(("Lu", "Ll", "Lt", "Lo", "Lm", "Mn", "Mc", "Sc"))
_RIGHT_TO_LEFT: Final = frozenset(("R", "AL", "AN"))
_TURNING: Final = frozenset(("RLE", "LRE", "RLO", "LRO", "PDF", "LRI", "RLI", "FSI", "PDI"))
_MARKS: Final = frozenset("\u200e\u200f\u061c")
# Letters of European alphabets that read as another one.
_LATIN_LOOKALIKE: Final = frozenset("\u0131\u0138\u0140\u0149\u017f")


class Shown(NamedTuple):
    """A value as it is shown, and what is odd about it, in words."""

    text: str
    warnings: tuple[str, ...] = ()


class Line(NamedTuple):
    """One value of an action: where it stands, as a JSON pointer, how it is shown, and what is odd about it."""

    place: str
    text: str
    warnings: tuple[str, ...] = ()


def describe(descriptor: Descriptor) -> list[Line]:
    """Return a line for each value of an action. In that of a process all text is bytes, in others bytes say so."""
    return list(_lines(descriptor, "", named=descriptor.get("type") != "process.exec"))


def escape(value: Any, *, named: bool = False) -> Shown:
    """Return how one value is shown; ``named`` says of bytes that they are bytes."""
    if isinstance(value, bytes):
        shown = _show_bytes(value)
        return shown._replace(text=f"bytes {shown.text}") if named else shown
    if isinstance(value, str):
        return _show_text(value)
    if isinstance(value, Mapping | list | tuple):
        return Shown("{}" if isinstance(value, Mapping) else "[]")
    # Numbers, booleans and null, as JSON has them.
    return Shown(json.dumps(value))


def _lines(value: Any, pointer: str, *, named: bool) -> Iterator[Line]:
    """Yield a line for each value in ``value``, depth first; an empty list or map is a value too."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            name, odd = escape(key)
            step = name[1:-1] if isinstance(key, str | bytes) else name
            for line in _lines(item, f"{pointer}/{step.replace('~', '~0').replace('/', '~1')}", named=named):
                yield line._replace(warnings=(*(f"its name has {one}" for one in odd), *line.warnings))
    elif isinstance(value, list | tuple) and value:
        for number, item in enumerate(value):
            yield from _lines(item, f"{pointer}/{number}", named=named)
    else:
        yield Line(pointer or "/", *escape(value, named=named))


def _show_bytes(value: bytes) -> Shown:
    try:
        return _show_text(value.decode())
    except UnicodeDecodeError:
        # Every byte that belongs to no character becomes a lone surrogate, which is escaped as the byte.
        shown = _show_text(value.decode(errors="surrogateescape"))
        return shown._replace(warnings=("bytes that are no text", *shown.warnings))


def _show_text(text: str) -> Shown:
    found: dict[str, None] = {}
    escaped = _escape(text, found) if len(text) <= WHOLE else _shortened(text, found)
    return Shown(f'"{escaped}"', tuple(found))


def _shortened(text: str, found: dict[str, None]) -> str:
    digest = sha256(text.encode(errors="surrogateescape")).hexdigest()
    # What is not shown is looked at all the same.
    _escape(text[_PART:-_PART], found)
    hidden = len(text) - 2 * _PART
    found[f"{hidden} of {len(text)} characters are not shown"] = None
    first, last = _escape(text[:_PART], found), _escape(text[-_PART:], found)
    return f"{first}\\{{{hidden} characters not shown, SHA-256 of all {len(text)}: {digest}}}{last}"


def _escape(text: str, found: dict[str, None]) -> str:
    keep = _kept_scripts(text, found)
    parts: list[str] = []
    place = 0
    while place < len(text):
        character = text[place]
        run = place
        while run < len(text) and text[run] == " ":
            run += 1
        if run - place >= _RUN:
            found["a run of spaces, which can push what follows out of sight"] = None
            parts.append(f"\\{{{run - place} spaces}}")
            place = run
            continue
        parts.append(_escape_one(character, keep, found))
        place += 1
    return "".join(parts)


def _escape_one(character: str, keep: bool, found: dict[str, None]) -> str:
    if character in '\\"':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    code, category = ord(character), unicodedata.category(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if keep and category in _SHOWN and unicodedata.normalize("NFKC", character) == character:
        return character
    # Where the letters of a text as a whole are odd, that has been said.
    if keep or category[0] not in "LM":
        found[_oddity(character, category)] = None
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _oddity(character: str, category: str) -> str:
    if character in "\t\n\r":
        return "line ends or tabs"
    if category == "Cc":
        return "control characters, which a terminal obeys"
    if category == "Cf" and (unicodedata.bidirectional(character) in _TURNING or character in _MARKS):
        return "characters that change the direction of reading"
    if category == "Cf":
        return "characters that do not show"
    if category[0] == "Z":
        return "spaces or line ends that are none of ASCII's"
    if category[0] == "C":
        return "characters without a meaning of their own"
    if unicodedata.normalize("NFKC", character) != character:
        return "other forms of ordinary characters"
    if category[0] in "LM":
        return "letters that are not shown as they are"
    return "digits or signs that are none of ASCII's"


def _kept_scripts(text: str, found: dict[str, None]) -> bool:
    """Say whether letters beyond ASCII may stay as they are: they are of one script, and no mistake is likely."""
    if text.isascii():
        return True
    odd = _odd_scripts(text)
    if odd is not None:
        found[odd] = None
    return odd is None


def _odd_scripts(text: str) -> str | None:
    scripts = {_script(character) for character in text if unicodedata.category(character)[0] == "L"}
    marks = any(unicodedata.category(character)[0] == "M" for character in text)
    if not unicodedata.is_normalized("NFC", text) or (marks and not scripts & _DISTINCT):
        return "marks that are not composed with their letters"
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in text):
        return "letters that are read from right to left"
    confusing = sorted(scripts & _LOOKALIKE)
    if confusing:
        return f"{', '.join(script.title() for script in confusing)} letters, which can look like Latin ones"
    if scripts - _DISTINCT - {"LATIN"} or (len(scripts) > 1 and not any(scripts <= group for group in _TOGETHER)):
        return f"letters of several scripts, or of a rare one: {', '.join(sorted(one.title() for one in scripts))}"
    if any(_is_odd_latin(character) for character in text):
        return "unusual Latin letters, which can look like others"
    return None


def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").split()[0].partition("-")[0]


def _is_odd_latin(character: str) -> bool:
    """Say whether a letter is Latin, and looks like another or is none of European or Vietnamese alphabets."""
    code = ord(character)
    common = code <= 0x17F or 0x1E00 <= code <= 0x1EFF or character in "\u01a0\u01a1\u01af\u01b0"
    return character in _LATIN_LOOKALIKE or (not common and _script(character) == "LATIN")
