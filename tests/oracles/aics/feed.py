"""Has checkpoints cosigned by a witness, as a log would: WitnessClient of aics-witness.

In: {url, vkey, notes: [{note, proofs: {old size: [hash]}}]}. Out: for each note the cosignature lines, or the error.
"""

import base64
import json
import sys

from aics_witness.feeder import FeederError, WitnessClient


def main() -> None:
    request = json.load(sys.stdin)
    answers = []
    with WitnessClient(request["url"], request["vkey"], max_attempts=1) as client:
        for one in request["notes"]:

            def prove(old: int, _: int, proofs: dict[str, list[str]] = one["proofs"]) -> list[bytes]:
                return [base64.b64decode(node) for node in proofs[str(old)]]

            try:
                answers.append(client.submit(one["note"], prove))
            except FeederError as error:
                answers.append(type(error).__name__)
    json.dump(answers, sys.stdout)


main()
