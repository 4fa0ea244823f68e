"""A policy set: the verbatim files that a decision stands on, and their digests (specs/09 §4).

    policy/*.cedar               the policies, in the order of their names
           schema.cedarschema    the types of requests and entities; mandatory
           entities.json         the entity snapshot; absent means none
           mapping.toml          how arguments become typed context (``rules``); absent means nothing declared
           README.md, cases.toml for people and for ``cases``; no part of the set

The four parts are kept as bytes, byte for byte, each under its SHA-256: that is what a policy record signs,
what the content store holds, and what replay loads again. The policies become one part, the sources, each
file after a line with its name, so that an error in replayed text still names file and line. This module only
reads and frames; ``cedar`` parses.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from exequatur_verifier.errors import MalformedError

SCHEMA: Final = "schema.cedarschema"
ENTITIES: Final = "entities.json"
MAPPING: Final = "mapping.toml"

_BESIDE: Final = frozenset({"README.md", "cases.toml"})

_FILE_LINE: Final = "//# file "
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\.cedar")
# Text that reads one way to a person and another way to the parser: a lone carriage return ends a Cedar
# comment, and format characters reorder or hide what is on the screen.
_DECEPTIVE: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


class PolicySetError(MalformedError):
    """A policy set that cannot be used: which file, which line (0 for none of them), and what is wrong."""

    def __init__(self, file: str, line: int, detail: str) -> None:
        super().__init__(f"{file}:{line}: {detail}" if line else f"{file}: {detail}")
        self.file = file
        self.line = line
        self.detail = detail


class PolicySet(NamedTuple):
    """The four parts of a policy set, verbatim."""

    sources: bytes
    schema: bytes
    entities: bytes = b"[]\n"
    mapping: bytes = b""

    def digests(self) -> dict[str, bytes]:
        """Return the SHA-256 of each part by its name."""
        return {name: hashlib.sha256(part).digest() for name, part in self._asdict().items()}

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield each file's name and text. Raises ``PolicySetError`` for what ``join`` did not write."""
        if not self.sources:
            return
        *lines, end = check_text("sources", self.sources).split("\n")
        starts = [number for number, line in enumerate(lines) if line.startswith(_FILE_LINE)]
        if end or starts[:1] != [0]:
            raise PolicySetError("sources", 1, f"are not files that each follow a line `{_FILE_LINE}NAME`")
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield lines[start].removeprefix(_FILE_LINE), "\n".join(lines[start + 1 : stop])


def read(directory: Path) -> PolicySet:
    """Read the policy set of a directory. Raises ``PolicySetError``.

    Anything else in the directory is an error, so that a file with a slip in its name is never left out in
    silence. Nothing is parsed: ``cedar.CedarEngine`` and ``rules.parse_rules`` do that.
    """
    parts: dict[str, bytes] = {}
    policies: dict[str, bytes] = {}
    try:
        entries = sorted(directory.iterdir())
        for entry in entries:
            if entry.name in (SCHEMA, ENTITIES, MAPPING):
                parts[entry.name] = entry.read_bytes()
            elif _FILE_NAME.fullmatch(entry.name):
                policies[entry.name] = entry.read_bytes()
            elif entry.name not in _BESIDE:
                raise PolicySetError(str(entry), 0, "is no part of a policy set; move it elsewhere")
    except OSError as error:
        place = str(error.filename or directory)
        raise PolicySetError(place, 0, f"cannot be read: {error.strerror}") from None
    if SCHEMA not in parts:
        raise PolicySetError(str(directory / SCHEMA), 0, "is missing; untyped requests can be allowed by mistake")
    policy_set = PolicySet(join(policies), parts.pop(SCHEMA))
    return policy_set._replace(**{Path(name).stem: part for name, part in parts.items()})


def join(files: Mapping[str, bytes]) -> bytes:
    """Return the files as one part, by name, each after a line with its name. Raises ``PolicySetError``."""
    out = b""
    for name in sorted(files):
        if not _FILE_NAME.fullmatch(name):
            raise PolicySetError(name, 0, "is not a name for a policy file")
        for number, line in enumerate(check_text(name, files[name]).split("\n"), start=1):
            if line.startswith(_FILE_LINE):
                raise PolicySetError(name, number, f"begins with `{_FILE_LINE}`, which separates files")
        out += f"{_FILE_LINE}{name}\n".encode() + files[name] + b"\n"
    return out


def check_text(file: str, content: bytes) -> str:
    """Return ``content`` as text if a person and a parser read it alike; raise ``PolicySetError`` if not.

    That means UTF-8 in normalization form C (a policy that compares with other forms could never match),
    lines ended by LF or CRLF, and no control or invisible format characters.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise PolicySetError(file, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.isascii() and line.isprintable():
            continue
        plain = line.removesuffix("\r").replace("\t", " ")
        for character in plain:
            if unicodedata.category(character) in _DECEPTIVE:
                raise PolicySetError(file, number, f"holds U+{ord(character):04X}, which does not show")
        if not unicodedata.is_normalized("NFC", plain):
            raise PolicySetError(file, number, "is not in Unicode normalization form C")
    return text
