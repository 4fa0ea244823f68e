"""The clocks of this machine, read once for each decision; whatever decides is handed the reading."""

import time

from exequatur_verifier.memory import Clock

from .process import boot_id


def read() -> Clock:
    """Return wall time, and the seconds since this boot, sleep included."""
    return Clock(int(time.time()), boot_id(), int(time.clock_gettime(time.CLOCK_BOOTTIME)))
