"""What a log tells whoever watches it: a stage, how long it took, how many statements went through it.

wait     the oldest of a batch, until it was taken   check    parsing and signatures of a batch
commit   a batch from the lock to the answer         sign     the two signatures of a head
"""

from collections.abc import Callable

# The stage, seconds, statements. Called in the log's event loop; it returns at once and raises nothing.
Observe = Callable[[str, float, int], None]


def ignore(_stage: str, _seconds: float, _statements: int) -> None:
    """Watch nothing."""
