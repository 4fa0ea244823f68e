"""No change of a bundle is admitted: truncations and flipped bits of every valid vector.

The whole campaign is ``make mutate``.
"""

import pytest

from tests.support.mutation import flips, one_bit, survivors, truncations
from tests.vectors.form import Vector
from tests.vectors.valid_governed import VALID

# Verified in full, and recognised as seen before.
THOROUGHLY = ("valid-es256", "valid-head-seen")


def distinct() -> list[str]:
    """Return the names of vectors whose bundles take different ways through the procedure."""
    seen: dict[tuple[object, ...], str] = {}
    for name, make in VALID.items():
        vector = make()
        heads = None if vector.memory is None else tuple(vector.memory.heads.values())
        policies = None if vector.memory is None else tuple(vector.memory.policies)
        seen.setdefault((vector.bundle, vector.action, heads or None, policies or None), name)
    return list(seen.values())


def mutated(name: str) -> tuple[Vector, bytes]:
    vector = VALID[name]()
    assert vector.bundle is not None
    return vector, vector.bundle


@pytest.mark.parametrize("name", distinct())
def test_one_flipped_bit_in_any_byte(name: str) -> None:
    # B-05 V-02
    vector, data = mutated(name)
    # What stands beside an artifact makes its bundle long; `make mutate` flips every bit of those too.
    step = 4 if VALID[name].__module__.endswith("valid_governed") else 1
    assert survivors(vector, flips(data, lambda at: one_bit(at) if at % step == 0 else ())) == []


@pytest.mark.parametrize("name", VALID)
def test_every_truncation(name: str) -> None:
    # V-02
    vector, data = mutated(name)
    step = 4 if VALID[name].__module__.endswith("valid_governed") else 1
    assert survivors(vector, (one for one in truncations(data) if one[0] % step == 0)) == []


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("name", THOROUGHLY)
def test_every_flip_of_one_bit(name: str, bit: int) -> None:
    vector, data = mutated(name)
    assert survivors(vector, flips(data, lambda _: (1 << bit,))) == []


@pytest.mark.parametrize("name", VALID)
def test_a_byte_more(name: str) -> None:
    # C-01
    vector, data = mutated(name)
    longer = [(len(data), data + bytes((value,))) for value in range(256)]
    assert survivors(vector, longer) == []
