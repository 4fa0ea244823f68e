"""scitt-cose making and checking receipts over the entries of our log.

    python issue.py LOG SIZE COUNT      COUNT receipts over the first SIZE entries, each made and then verified

Runs in the environment of this oracle, as a program of its own. It prints one JSON object: seconds for each.
"""

import json
import sqlite3
import sys
import time

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from scitt_cose import build_receipt, verify_receipt


def issue(log: str, size: str, count: str) -> dict[str, object]:
    entries = sqlite3.connect(f"file:{log}?mode=ro", uri=True)
    rows = entries.execute("SELECT statement FROM entries WHERE leaf_index < ? ORDER BY leaf_index", (int(size),))
    tree = [row[0].hex() for row in rows]
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    made: list[float] = []
    verified: list[float] = []
    for index in range(0, len(tree), max(1, len(tree) // int(count))):
        begun = time.perf_counter()
        receipt = build_receipt(
            leaf_entry_hex=tree[index],
            leaf_index=index,
            tree_entries_hex=tree,
            alg="ES256",
            log_private_key_pem=private,
        )
        between = time.perf_counter()
        result = verify_receipt(receipt, leaf_entry_hex=tree[index], log_public_key_pem=public)
        ended = time.perf_counter()
        assert result.ok
        made.append(between - begun)
        verified.append(ended - between)
    return {"made": made, "verified": verified}


if __name__ == "__main__":
    print(json.dumps(issue(*sys.argv[1:])))
