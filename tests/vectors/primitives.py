"""Small vectors of single formats: what the encoding accepts, what a commitment is, what a matcher admits.

What is expected stands here by hand; only digests are computed.
"""

from typing import Any, Final

from exequatur_verifier import action
from tests.support import reference, world
from tests.vectors.form import to_json
from tests.vectors.valid import CALL

# Encodings of one item each; floats are permitted in descriptors only.
ACCEPTED: Final = {
    "00": "the smallest integer argument",
    "17": "the last integer in one byte",
    "1818": "the first integer in two bytes",
    "1bffffffffffffffff": "2^64 - 1",
    "20": "-1",
    "3b7fffffffffffffff": "-2^63",
    "40": "no bytes",
    "60": "no text",
    "62c3a9": "text in normalization form C",
    "80": "no items",
    "a0": "an empty map",
    "f4": "false",
    "f6": "null",
    "a50a001864001903e8002000616100": "keys in bytewise order: 10, 100, 1000, -1, a",
    "a2617a0062616100": "the shorter text first",
    "81" * 15 + "80": "sixteen arrays in each other",
}
ACCEPTED_WITH_FLOATS: Final = {
    "f93c00": "1.0, in two bytes",
    "f98000": "-0.0",
    "fa47c35000": "100000.0, in four bytes",
    "fb3ff199999999999a": "1.1, in eight bytes",
}
REFUSED: Final = {
    "": "nothing",
    "0000": "a second item",
    "1800": "0 in two bytes",
    "190018": "24 in three bytes",
    "1a0000ffff": "65,535 in five bytes",
    "1b00000000ffffffff": "2^32 - 1 in nine bytes",
    "3b8000000000000000": "-2^63 - 1",
    "a13bffffffffffffffff00": "-2^64, as a key",
    "c249010000000000000000": "2^64, as a bignum",
    "c11a514b67b0": "a tag that decoders know",
    "d9d9f700": "a tag around everything",
    "d8ff00": "a tag that nobody knows",
    "5800": "no bytes, its length in two bytes",
    "5f4101ff": "bytes of indefinite length",
    "7f6161ff": "text of indefinite length",
    "9f00ff": "an array of indefinite length",
    "bf616100ff": "a map of indefinite length",
    "41": "bytes cut short",
    "61": "text cut short",
    "810000": "one item more than announced",
    "8200": "one item fewer than announced",
    "5b7fffffffffffffff": "2^63 - 1 bytes, none of which follow",
    "9b7fffffffffffffff": "2^63 - 1 items, none of which follow",
    "61ff": "text that is not UTF-8",
    "6365cc81": "text in normalization form D",
    "a16365cc8100": "a key in normalization form D",
    "a2616100616100": "a key twice",
    "a22000186400": "keys out of order: -1, 100",
    "a262616100617a00": "the longer text first",
    "a1f500": "a key that is true",
    "a1f600": "a key that is null",
    "a18000": "a key that is an array",
    "a1f93c0000": "a key that is a float",
    "f7": "undefined",
    "f0": "a simple value",
    "f8ff": "a simple value in two bytes",
    "f814": "false in two bytes",
    "f93c00": "1.0, without permission for floats",
    "81" * 17 + "80": "eighteen arrays in each other",
    "1c": "a reserved additional information",
    "ff": "a break without a beginning",
}
REFUSED_WITH_FLOATS: Final = {
    "f97e00": "not a number",
    "f97c00": "infinity",
    "fa3f800000": "1.0 in four bytes",
    "fb3ff0000000000000": "1.0 in eight bytes",
}

# [matcher, value, whether it matches]. What JSON calls a string stands for text here.
MATCHES: Final[list[tuple[list[Any], Any, bool]]] = [
    (["exact", "a"], "a", True),
    (["exact", "a"], "A", False),
    (["exact", 1], 1, True),
    (["exact", 1], 1.5, False),
    (["exact", 1], True, False),
    (["exact", False], 0, False),
    (["exact", None], None, True),
    (["exact", {"a": [1]}], {"a": [1]}, True),
    (["exact", {"a": [1]}], {"a": [1, 2]}, False),
    (["one_of", ["a", 2]], 2, True),
    (["one_of", []], "a", False),
    (["prefix", "/srv/"], "/srv/", True),
    (["prefix", "/srv/"], "/srv", False),
    (["prefix", "1"], 1, False),
    (["subpath", "/srv"], "/srv", True),
    (["subpath", "/srv"], "/srv/a/b", True),
    (["subpath", "/srv"], "/srvx", False),
    (["subpath", "/srv"], "/srv/../etc", False),
    (["subpath", "/srv"], "/srv/./a", False),
    (["subpath", "/srv"], "/srv//a", False),
    (["subpath", "/srv"], "/srv/", False),
    (["subpath", "/srv"], "srv/a", False),
    (["subpath", "/"], "/a", True),
    (["subpath", "/"], "/", True),
    (["range", [1, 3]], 1, True),
    (["range", [1, 3]], 3, True),
    (["range", [1, 3]], 4, False),
    (["range", [1, 3]], 3.5, False),
    (["range", [1, 3]], 2.5, True),
    (["range", [1, 3]], True, False),
    (["range", [None, 3]], -9, True),
    (["range", [1, None]], 10**18, True),
    (["range", [1, 3]], "2", False),
    (["glob", "*.txt"], "a.txt", True),
    (["glob", "*.txt"], ".txt", True),
    (["glob", "*.txt"], "a.TXT", False),
    (["glob", "a?c"], "abc", True),
    (["glob", "a?c"], "ac", False),
    (["glob", "a*b*c"], "a-b-b-c", True),
    (["glob", "a*b*c"], "a-c-b", False),
    (["glob", "ab*ba"], "aba", False),
    (["glob", "[a]"], "a", False),
    (["url_host", ["a.example"]], "https://a.example/x?y#z", True),
    (["url_host", ["a.example"]], "http://a.example:8080", True),
    (["url_host", ["a.example"]], "https://b.a.example/", False),
    (["url_host", ["*.a.example"]], "https://b.a.example/", True),
    (["url_host", ["*.a.example"]], "https://a.example/", False),
    (["url_host", ["a.example"]], "https://A.example/", False),
    (["url_host", ["a.example"]], "https://a.example@b.example/", False),
    (["url_host", ["a.example"]], "https://a.example\\@b.example/", False),
    (["url_host", ["a.example"]], "ftp://a.example/", False),
    (["url_host", ["a.example"]], "//a.example/", False),
    (["url_host", ["a.example"]], "https://a.example./", False),
    (["url_host", ["[::1]"]], "http://[::1]:80/", True),
]

# [child, parent, whether the child is a subset]. A false may be too cautious; a true never is.
SUBSETS: Final[list[tuple[list[Any], list[Any], bool]]] = [
    (["exact", "a"], ["exact", "a"], True),
    (["exact", 1], ["exact", True], False),
    (["exact", "a"], ["one_of", ["a", "b"]], True),
    (["exact", "/srv/a"], ["subpath", "/srv"], True),
    (["exact", "/srv/../a"], ["subpath", "/srv"], False),
    (["exact", 2], ["range", [1, 3]], True),
    (["exact", "https://a.example/"], ["url_host", ["a.example"]], True),
    (["one_of", ["a", "b"]], ["one_of", ["b", "a", "c"]], True),
    (["one_of", ["a", "d"]], ["one_of", ["a", "b"]], False),
    (["one_of", []], ["exact", "a"], True),
    (["range", [2, 3]], ["range", [1, 3]], True),
    (["range", [0, 3]], ["range", [1, 3]], False),
    (["range", [None, 3]], ["range", [1, 3]], False),
    (["range", [1, 3]], ["range", [None, None]], True),
    (["range", [2, 2]], ["exact", 2], False),
    (["subpath", "/srv/a"], ["subpath", "/srv"], True),
    (["subpath", "/srv"], ["subpath", "/srv/a"], False),
    (["subpath", "/srvx"], ["subpath", "/srv"], False),
    (["subpath", "/srv/a"], ["prefix", "/srv/"], True),
    (["prefix", "/srv/"], ["subpath", "/srv"], False),
    (["prefix", "ab"], ["prefix", "a"], True),
    (["prefix", "a"], ["prefix", "ab"], False),
    (["glob", "ab*"], ["prefix", "a"], True),
    (["glob", "a?"], ["prefix", "a"], True),
    (["glob", "a*b"], ["glob", "a*"], True),
    (["glob", "a*"], ["glob", "a*b"], False),
    (["glob", "?a*"], ["glob", "?*"], False),
    (["prefix", "ab"], ["glob", "a*"], True),
    (["url_host", ["b.a.example"]], ["url_host", ["*.a.example"]], True),
    (["url_host", ["*.b.a.example"]], ["url_host", ["*.a.example"]], True),
    (["url_host", ["a.example"]], ["url_host", ["*.a.example"]], False),
    (["url_host", ["*.a.example"]], ["url_host", ["a.example"]], False),
    (["url_host", ["a.example"]], ["prefix", "https://"], False),
]

# [index, size] that one path fits, and some that it does not fit.
POSITIONS: Final = [(1, 2), (2, 3), (4, 5), (8, 9), (16, 17), (32, 33)]
REFUSED_POSITIONS: Final = [(0, 2), (3, 5), (4, 6), (5, 5), (4, 4), (5, 6), (6, 7)]


def files() -> dict[str, str]:
    """Return the files of small vectors by name."""
    encoded = {"the usual command": action.encode(world.COMMAND), "a call with a float": action.encode(CALL)}
    log = world.new_log(filler=5)
    return {
        "cbor.json": to_json(
            {
                "accepted": ACCEPTED,
                "accepted_with_floats": ACCEPTED_WITH_FLOATS,
                "refused": REFUSED,
                "refused_with_floats": REFUSED_WITH_FLOATS,
            }
        ),
        "commitments.json": to_json(
            {
                "salt": world.SALT,
                "tag": action.ACTION_TAG.decode(),
                "actions": [
                    {
                        "about": about,
                        "encoded": data,
                        "commitment": action.commitment(action.ACTION_TAG, world.SALT, data),
                    }
                    for about, data in encoded.items()
                ],
            }
        ),
        "constraints.json": to_json({"matches": MATCHES, "subsets": SUBSETS}),
        # One path for several pairs of index and size, which is why receipts sign the size.
        "positions.json": to_json(
            {
                "entry": log.entries[4],
                "path": reference.inclusion_path(4, log.entries),
                "root": log.root(),
                "positions": POSITIONS,
                "refused": REFUSED_POSITIONS,
            }
        ),
    }
