"""What a log tells whoever watches it: a stage, how long it took, how many statements went through it.

check    parsing and signatures of a batch          sign     the two signatures of a head
commit   a batch from the lock to the answer
"""

from collections.abc import Callable

# The stage, seconds, statements. Called in the log's event loop; it returns at once and raises nothing.
Observe = Callable[[str, float, int], None]


def ignore(_stage: str, _seconds: float, _statements: int) -> None:
    """Watch nothing."""
