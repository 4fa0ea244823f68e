"""aics-tlog auditing a tiled log, served or in a directory: reads one JSON object, writes another.

    in   {"tiles": URL or directory, "vkey", "origin": text, "included": [[index, hex of the entry], …],
          "proofs": [[tlog-proof, hex of the entry], …]}
    out  {"ok": true, "size", "root": hex, "tiles", "bundles": how many, "included", "proofs": [bool, …]}
         or {"ok": false, "error": text}

Every tile of hashes and every bundle of entries of the tree under the checkpoint is read and authenticated. A
tlog-proof is taken apart here, because aics-tlog has no such format; its note and its path are judged by aics-tlog.

Runs in the environment of this oracle, as a program of its own.
"""

import base64
import json
import sys

from aics_tlog import (
    HttpTileReader,
    VerifiedTileReader,
    audit_tiles,
    inclusion_proof_from_tiles,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_leaf_inclusion,
)
from aics_tlog.remote import tile_source_url


def audit(request: dict[str, object]) -> dict[str, object]:
    key, origin = parse_vkey(request["vkey"]), request["origin"]
    reader = HttpTileReader(tile_source_url(request["tiles"]), proxies={})
    head = opened(reader.read_checkpoint(), key, origin)
    report = audit_tiles(reader, head.size, head.root)
    verified = VerifiedTileReader(reader, head.size, head.root)
    included = []
    for index, entry in request.get("included", ()):
        path = inclusion_proof_from_tiles(verified, index, head.size)
        included.append(verify_leaf_inclusion(bytes.fromhex(entry), index, head.size, path, head.root))
    proofs = []
    for proof, entry in request.get("proofs", ()):
        lines, _, note = proof.partition("\n\n")
        first, index, *path = lines.split("\n")
        if first != "c2sp.org/tlog-proof@v1":
            raise ValueError(first)
        under = opened(note.encode(), key, origin)
        place, hashes = int(index.removeprefix("index ")), [base64.b64decode(line, validate=True) for line in path]
        proofs.append(verify_leaf_inclusion(bytes.fromhex(entry), place, under.size, hashes, under.root))
    return {
        "ok": True,
        "size": head.size,
        "root": head.root.hex(),
        "tiles": report.tiles,
        "bundles": report.bundles,
        "included": included,
        "proofs": proofs,
    }


def opened(data, key, origin):
    result = verify_checkpoint(parse_note(data), key, expected_origin=origin)
    if not result.ok:
        raise ValueError(result.error)
    return result


if __name__ == "__main__":
    try:
        answer = audit(json.load(sys.stdin))
    except (ValueError, OSError) as error:
        answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    json.dump(answer, sys.stdout)
