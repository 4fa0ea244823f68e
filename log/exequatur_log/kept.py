"""Bytes that never change, kept in memory up to a bound: full tiles and bundles. The oldest are let go first."""

from typing import Final, Generic, TypeVar

K = TypeVar("K")
_MOST: Final = 64 << 20


class Kept(Generic[K]):
    """At most so many bytes, by name."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._held = 0
        self._values: dict[K, bytes] = {}

    def get(self, name: K) -> bytes | None:
        """Return what is kept under a name."""
        return self._values.get(name)

    def keep(self, name: K, value: bytes) -> None:
        """Keep a value, and let go of older ones beyond the bound."""
        if name in self._values or len(value) > self._most:
            return
        self._values[name] = value
        self._held += len(value)
        while self._held > self._most:
            oldest = next(iter(self._values))
            self._held -= len(self._values.pop(oldest))
