"""Status lists as values: which index an artifact has, how a list is packed, what its next version says (specs/09 §10).

An artifact's index is the place of its request in the log, so no two artifacts share one, whichever process made them
and whatever was lost meanwhile; every 100,000 places have a list of their own, which keeps each far below the size of a
statement. Two bits say of an index whether it is valid (0), revoked for good (1) or suspended (2), packed as in Token
Status List: index 0 in the lowest bits of the first byte, all of it compressed by zlib.

Beside the indices a list says what is revoked by name. The names of an authority's first list are those in force, and
its other lists repeat them.
"""

import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Epoch, Link, Status, StatusEntry
from exequatur_verifier.statement import Statement

SIZE: Final = 100_000
BITS: Final = 2
VALID: Final = 0
REVOKED: Final = 1
SUSPENDED: Final = 2
# Of what a list may unpack to, as for the kernel: 64 KiB must not become gigabytes.
MAX_LIST: Final = 1 << 20


class RevocationError(ExequaturError):
    """Nothing was revoked, suspended or resumed: why, and what to do."""


class Names(NamedTuple):
    """What is revoked by name: executions or requesters, policy records, keys by thumbprint, epochs up to a number."""

    subjects: frozenset[str] = frozenset()
    policies: frozenset[bytes] = frozenset()
    keys: frozenset[bytes] = frozenset()
    epochs: frozenset[Epoch] = frozenset()

    def with_(self, other: "Names") -> "Names":
        """Return these and the other names."""
        return Names(
            self.subjects | other.subjects,
            self.policies | other.policies,
            self.keys | other.keys,
            self.epochs | other.epochs,
        )

    def without(self, other: "Names") -> "Names":
        """Return these names and none of the others."""
        return Names(
            self.subjects - other.subjects,
            self.policies - other.policies,
            self.keys - other.keys,
            self.epochs - other.epochs,
        )


class Listed(NamedTuple):
    """What a version of a list says: the statuses that are not valid, by index; names; when the next is due."""

    values: Mapping[int, int]
    names: Names
    next_update: int


def assign(base: str, leaf_index: int) -> StatusEntry:
    """Return the list and the index there of the artifact whose request stands at ``leaf_index`` in the log.

    ``base`` is what the names of all lists of the authority begin with.
    """
    if leaf_index < 0:
        raise ValueError("only what stands in a log has an index in a status list")
    number, idx = divmod(leaf_index, SIZE)
    return StatusEntry(name_of(base, number), idx)


def name_of(base: str, number: int) -> str:
    """Return the URN of the list of that number, from 0 on."""
    return f"{base}:{number}"


def pack(values: Mapping[int, int], size: int = SIZE, bits: int = BITS) -> bytes:
    """Return a list of ``size`` statuses, packed and compressed; what ``values`` does not name is valid."""
    packed = bytearray(-(-size * bits // 8))
    for idx, value in values.items():
        if not 0 <= idx < size or not 0 <= value < 1 << bits:
            raise ValueError(f"status {value} at {idx} does not fit a list of {size} with {bits} bits each")
        byte, place = divmod(idx * bits, 8)
        packed[byte] |= value << place
    return zlib.compress(bytes(packed), 9)


def unpack(packed: bytes, bits: int = BITS) -> dict[int, int]:
    """Return the statuses of a packed list that are not valid, by index; raise ``MalformedError`` for what is none."""
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(packed, MAX_LIST)
    except zlib.error as error:
        raise MalformedError(f"not a packed status list: {error}") from None
    if not unpacking.eof or unpacking.unused_data or bits not in (1, 2, 4, 8):
        raise MalformedError("not a packed status list: cut short, too long, or of another number of bits")
    found: dict[int, int] = {}
    each, mask = 8 // bits, (1 << bits) - 1
    for place, byte in enumerate(raw):
        if byte:
            for number in range(each):
                if value := byte >> number * bits & mask:
                    found[place * each + number] = value
    return found


def read(version: Statement) -> Listed:
    """Return what a status record says; raise ``MalformedError``."""
    record = record_of(version)
    names = Names(
        frozenset(record.subjects), frozenset(record.policies), frozenset(record.keys), frozenset(record.epochs)
    )
    return Listed(unpack(record.packed, record.bits), names, record.next_update)


def record_of(version: Statement) -> Status:
    """Return the record of a status statement; raise ``MalformedError`` for one of another kind."""
    if not isinstance(version.record, Status):
        raise MalformedError(f"a {version.kind.value} record is no version of a status list")
    return version.record


def follow(previous: Statement | None, name: str, listed: Listed) -> Status:
    """Return the record of the version after ``previous``, or of the first one, that says ``listed``."""
    names = listed.names
    return Status(
        links=() if previous is None else (Link("previous", previous.id),),
        list=name,
        version=1 if previous is None else record_of(previous).version + 1,
        next_update=listed.next_update,
        bits=BITS,
        packed=pack(listed.values),
        subjects=tuple(sorted(names.subjects)),
        policies=tuple(sorted(names.policies)),
        keys=tuple(sorted(names.keys)),
        epochs=tuple(sorted(names.epochs)),
    )
