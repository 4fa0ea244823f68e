"""Images: the files that an execution runs, held so that what was hashed is what runs (specs/07).

``seal`` copies a file into memory, forbids every change of the copy, and hashes the copy; running its
descriptor runs those bytes and no others. What is lost: a path of its own (``$ORIGIN``, ``/proc/self/exe``,
files beside a script), the setuid bit and file capabilities. A program that needs its path runs from it when
its authorization allows the weaker form: it is hashed again just before it starts, and between that hash and
the kernel's reading of the file nothing protects it.
"""

import fcntl
import os

from exequatur_verifier.host import (
    LARGEST,
    SEALS,
    Image,
    UnmeasurableError,
    create_memory_file,
    digest,
    open_file,
    seal_memory_file,
)


def seal(path: bytes) -> Image:
    """Return a sealed, executable copy of the file at ``path``: a loader for ``measure``.

    The caller closes it. Raise ``UnmeasurableError`` when the file cannot be read, is larger than
    ``LARGEST``, or cannot be sealed on this host.
    """
    source = open_file(path)
    try:
        handle = create_memory_file(os.fsdecode(os.path.basename(path)[:200]))
        try:
            _copy(source, handle)
            os.fchmod(handle, 0o500)
            seal_memory_file(handle)
            return Image(path, *digest(handle), handle)
        except BaseException:
            os.close(handle)
            raise
    except OSError as error:
        raise UnmeasurableError(
            f"{os.fsdecode(path)!r} cannot be copied into a sealed image: {error.strerror}"
        ) from None
    finally:
        os.close(source)


def is_sealed(descriptor: int) -> bool:
    """Say whether a descriptor is of a file in memory whose content nobody can change any more."""
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS
    except OSError:
        return False


def is_unchanged(image: Image, descriptor: int) -> bool:
    """Say whether an open file still has the content that was measured; raise ``OSError``."""
    return digest(descriptor)[0] == image.digest


def _copy(source: int, target: int) -> None:
    size = 0
    while count := os.sendfile(target, source, None, 1 << 24):
        size += count
        if size > LARGEST:
            raise UnmeasurableError(f"a file to be run is larger than {LARGEST} bytes")
