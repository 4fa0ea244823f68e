"""pymerkle's tree over given entries: reads one JSON object, writes another.

    in   {"entries": [hex, …]}
    out  {"roots": [hex for every size], "inclusion": {"index size": [hex, …]}}

Its consistency proofs are of a form of its own, not that of RFC 9162.

Runs in the environment of this oracle, as a program of its own.
"""

import json
import sys

from pymerkle import InmemoryTree


def grow(entries: list[bytes]) -> dict[str, object]:
    tree = InmemoryTree.init_from_entries(entries)
    sizes = range(1, len(entries) + 1)
    # Its leaves are counted from 1, and the leaf itself comes before the path.
    inclusion = {
        f"{index} {size}": [item.hex() for item in tree.prove_inclusion(index + 1, size).path[1:]]
        for size in sizes
        for index in range(size)
    }
    roots = [tree.get_state(size).hex() for size in range(len(entries) + 1)]
    return {"roots": roots, "inclusion": inclusion}


if __name__ == "__main__":
    json.dump(grow([bytes.fromhex(entry) for entry in json.load(sys.stdin)["entries"]]), sys.stdout)
