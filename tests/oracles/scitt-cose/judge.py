"""scitt-cose on a transparent statement: reads one JSON object, writes another.

    in   {"transparent", "entry": hex, "statement_key", "log_key": PEM}
    out  {"statement": fields or an error, "receipts": [what it says of each, by the bytes taken for the leaf's entry]}

Runs in the environment of this oracle, as a program of its own.
"""

import hashlib
import json
import sys

from scitt_cose import CoseError, extract_receipts, parse_signed_statement, verify_receipt


def judge(request: dict[str, str]) -> dict[str, object]:
    transparent, entry = bytes.fromhex(request["transparent"]), bytes.fromhex(request["entry"])
    try:
        parsed = parse_signed_statement(transparent, public_key_pem=request["statement_key"])
        statement = {name: parsed[name] for name in ("signature_verified", "issuer", "subject", "content_type", "alg")}
    except CoseError as error:
        statement = {"signature_verified": False, "error": str(error)}
    # Its own vectors take the statement's hash for the entry; the bytes themselves are the other convention.
    entries = {"bytes": entry, "hash": hashlib.sha256(entry).digest()}
    receipts = []
    for receipt in extract_receipts(transparent):
        found = {}
        for convention, data in entries.items():
            result = verify_receipt(receipt, leaf_entry_hex=data.hex(), log_public_key_pem=request["log_key"])
            found[convention] = {
                "ok": result.ok,
                "size": result.tree_size,
                "index": result.leaf_index,
                "errors": result.errors,
            }
        receipts.append(found)
    return {"statement": statement, "receipts": receipts}


if __name__ == "__main__":
    json.dump([judge(request) for request in json.load(sys.stdin)], sys.stdout)
