"""Hostile sizes: deep nesting, lengths that are only claimed, very many items, in bounded time and memory.

Each case runs in a process of its own, whose address space and processor time the kernel of the machine limits.
"""

import resource
import subprocess
import sys
from typing import Final

import pytest

from tests.data import ROOT

MEGABYTE: Final = 1 << 20
# Beyond what an interpreter with the kernel loaded takes.
MEMORY: Final = 256 * MEGABYTE
SECONDS: Final = 20

PROGRAM: Final = """
import resource
from exequatur_verifier import MalformedError, action, bundle, cbor, note, parse_trust, statement, tiles, verify
from tests.support import world
from tests.vectors.valid import es256

vector = es256()
trust = parse_trust(vector.trust.encode())
page = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (page + {memory}, page + {memory}))
data = {data}
verdict = verify(data, world.COMMAND, world.FACTS, trust, None, (), vector.now)
assert verdict.code.name in ("ARTIFACT_TOO_LARGE", "ARTIFACT_MALFORMED"), verdict.code
assert verdict.failure.number < 2
for parse in ({parsers}):
    try:
        parse(data)
    except MalformedError:
        pass
    else:
        raise AssertionError(parse)
"""
CBOR: Final = (
    "cbor.decode, bundle.decode, statement.parse, statement.parse_transparent, lambda data: action.decode(data)"
)

CASES: Final = {
    "a gigabyte of bytes, claimed": (r"b'\x5a\x40\x00\x00\x00' + bytes(100)", CBOR),
    "2^63 bytes, claimed": (r"b'\x5b\x7f' + b'\xff' * 7 + bytes(100)", CBOR),
    "a gigabyte of text, claimed": (r"b'\x7a\x40\x00\x00\x00' + bytes(100)", CBOR),
    "2^32 items, claimed": (r"b'\x9a\xff\xff\xff\xff' + bytes(100)", CBOR),
    "2^32 entries, claimed": (r"b'\xba\xff\xff\xff\xff' + bytes(100)", CBOR),
    "2^63 items in each of many arrays, claimed": (r"(b'\x9b\x7f' + b'\xff' * 7) * 100", CBOR),
    "a million nested arrays": (r"b'\x81' * 1_000_000", CBOR),
    "a million nested maps": (r"b'\xa1\x00' * 500_000", CBOR),
    "a million nested tags": (r"b'\xc6' * 1_000_000", CBOR),
    "a million items": (r"b'\x9a\x00\x0f\x42\x40' + bytes(1_000_000)", CBOR),
    "a map of a million entries": (
        r"b'\xba\x00\x0f\x42\x40' + b''.join(b'\x1a' + n.to_bytes(4, 'big') + b'\x00' for n in range(1 << 20))",
        CBOR,
    ),
    "ten thousand and one empty arrays": (r"b'\x99\x27\x11' + b'\x80' * 10_001", CBOR),
    "a note of a megabyte of lines": ("b'a\\n' * 500_000 + b'\\n' + '— a AAAA\\n'.encode() * 10_000", "note.parse"),
    "a note of many empty lines": (r"b'\n' * 1_000_000", "note.parse"),
    "nested JSON": ("b'[' * 1_000_000", "action.parse_json_arguments"),
    "a million digits": ("b'{\"a\": ' + b'9' * 1_000_000 + b'}'", "action.parse_json_arguments"),
    "nested TOML": ("b'a = ' + b'[' * 1_000_000", "parse_trust"),
    "a bundle of empty entries": ("bytes(2_000_000)", "tiles.decode_entries"),
}


@pytest.mark.parametrize("name", CASES)
def test_hostile_size(name: str) -> None:
    data, parsers = CASES[name]
    program = PROGRAM.format(data=data, parsers=parsers + ",", memory=MEMORY)
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS)),
    )
    assert result.returncode == 0, result.stderr[-2000:]
