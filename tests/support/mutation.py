"""Mutants of a vector's bundle, and the judgement on them: none is admitted, and none is beyond what was foreseen.

Two things in a bundle are read by nobody: receipts of logs that trust does not name, with the policy's positions in
those logs and the proofs of them, and checkpoint lines by keys that trust does not name. Both are listed in the
verdict. A mutant may be admitted only if it differs there and the verdict lists something.
"""

from collections.abc import Callable, Iterable, Iterator

from exequatur_verifier import Code, Verdict, action, bundle, cbor, note, parse_trust, receipt, statement, verify
from exequatur_verifier.shape import plain
from tests.vectors.form import Vector

Mutant = tuple[int, bytes]


def truncations(data: bytes) -> Iterator[Mutant]:
    """Yield every proper prefix, with its length."""
    return ((length, data[:length]) for length in range(len(data)))


def flips(data: bytes, masks: Callable[[int], Iterable[int]]) -> Iterator[Mutant]:
    """Yield ``data`` with each byte changed by each of the masks for its position, with that position."""
    for position in range(len(data)):
        for mask in masks(position):
            yield position, data[:position] + bytes((data[position] ^ mask,)) + data[position + 1 :]


def one_bit(position: int) -> tuple[int, ...]:
    """One flip for each byte, another bit from byte to byte."""
    return (1 << position % 8,)


def all_bits(position: int) -> tuple[int, ...]:
    """All eight flips of one bit."""
    return tuple(1 << bit for bit in range(8))


def all_values(position: int) -> range:
    """All 255 other values."""
    return range(1, 256)


def decider(vector: Vector) -> Callable[[bytes], Verdict]:
    """Return what decides on bundles with a vector's other inputs, which are parsed once."""
    trust, descriptor = parse_trust(vector.trust.encode()), action.decode(vector.action)
    return lambda data: verify(data, descriptor, vector.facts, trust, vector.memory, vector.proofs, vector.now)


def survivors(vector: Vector, mutants: Iterable[Mutant]) -> list[str]:
    """Return a line on each mutant that was admitted without an excuse, or ran into what nobody foresaw."""
    decide, unread = decider(vector), _unread(vector)
    found = []
    for position, data in mutants:
        verdict = decide(data)
        if verdict.code is None and not (verdict.ignored and any(position in span for span in unread)):
            found.append(f"byte {position}: admitted")
        elif any(step.code is Code.INTERNAL_ERROR for step in verdict.steps):
            found.append(f"byte {position}: {verdict.failure}")
    return found


def _unread(vector: Vector) -> list[range]:
    """Return where the vector's bundle holds what nobody reads, or might hold it after one change."""
    assert vector.bundle is not None
    decoded, trust = bundle.decode(vector.bundle), parse_trust(vector.trust.encode())
    _, receipts = statement.parse_transparent(decoded.artifact)
    unknown = {receipt.parse(data).origin: data for data in receipts if receipt.parse(data).origin not in trust.logs}
    parts = list(unknown.values())
    if decoded.policy is not None:
        parts += [cbor.encode(list(decoded.policy.positions[origin])) for origin in unknown]
    parts += [cbor.encode(plain(stapled)) for stapled in decoded.proofs if stapled.origin in unknown]
    # A cosignature becomes a stranger's when its name or key id changes; the text above the lines is the log's.
    parts += [data[len(note.parse(data).text) :] for data in decoded.checkpoints]
    spans = [(vector.bundle.index(part), len(part)) for part in parts]
    return [range(start, start + length) for start, length in spans]
