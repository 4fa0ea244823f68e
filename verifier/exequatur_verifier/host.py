"""The kernel's one edge to the machine: what a command is here, and what this host can enforce (specs/07).

``measure`` turns an argument vector into what ``verify()`` compares: the ``process.exec`` descriptor (the
file, the whole argv, the directory, exactly the environment that the child will get, the uid) and the facts
(the digests of executable, interpreter and script, and the name of the host). All of it is byte strings as
the kernel of the host sees them; text is never normalised.

Not covered by any digest: the dynamic loader and shared libraries of an ELF file, what an interpreter
imports, and files that are named in arguments.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple

from . import shebang
from .constraints import Facts
from .errors import ExequaturError

ENVIRONMENT: Final = (b"PATH", b"HOME", b"LANG", b"LC_ALL", b"TZ")
LARGEST: Final = 1 << 30  # Several times a large browser; a sealed image is held in memory.
SEALS: Final = 0xF  # F_SEAL_SEAL, _SHRINK, _GROW and _WRITE: the content stands, and nobody can lift that.

# The enforcement primitives that are resource limits, with the names that the resource module gives them.
RESOURCE_LIMITS: Final = {
    "rlimit-cpu": "RLIMIT_CPU",
    "rlimit-memory": "RLIMIT_AS",
    "rlimit-files": "RLIMIT_NOFILE",
    "rlimit-processes": "RLIMIT_NPROC",
    "rlimit-file-size": "RLIMIT_FSIZE",
}

_STATUS: Final = "/proc/self/status"
_CHUNK: Final = 1 << 20
_ELF: Final = b"\x7fELF"
_MFD_EXEC: Final = 0x10  # Linux 6.3; the os module does not name it yet.
_CAP_SYS_ADMIN: Final = 21
_CAP_SYS_RESOURCE: Final = 24


class CommandNotFoundError(ExequaturError):
    """The command names no file that this user may execute."""


class UnmeasurableError(ExequaturError):
    """What would run cannot be measured, so no authorization holds for it; callers deny ``FACT_MISMATCH``."""


class Image(NamedTuple):
    """A file that takes part in an execution: its real path, its SHA-256 and its first 256 bytes.

    ``handle`` is a descriptor that a loader kept open: what was hashed, and what will run.
    """

    path: bytes
    digest: bytes
    head: bytes
    handle: int | None = None

    def close(self) -> None:
        """Close the descriptor, if one was kept."""
        if self.handle is not None:
            os.close(self.handle)


Loader = Callable[[bytes], Image]


class Command(NamedTuple):
    """A measured command: all that verification and execution need; nothing is looked up a second time.

    ``executable`` is the file that ``argv[0]`` names. Where it is a script, ``interpreter`` is what runs, and
    ``prefix`` is its argv up to the script: the name by which it was called, and at most one argument.
    """

    descriptor: Mapping[str, Any]
    facts: Facts
    executable: Image
    interpreter: Image | None
    prefix: tuple[bytes, ...]

    def close(self) -> None:
        """Close the descriptors that the loader kept open."""
        self.executable.close()
        if self.interpreter is not None:
            self.interpreter.close()


def measure(
    argv: Sequence[bytes],
    *,
    cwd: bytes,
    environ: Mapping[bytes, bytes],
    keep: Sequence[bytes] = ENVIRONMENT,
    load: Loader | None = None,
    enforcement: frozenset[str] = frozenset(),
) -> Command:
    """Return what ``argv`` would run in ``cwd`` with the variables of ``environ`` that ``keep`` names.

    ``argv[0]`` is searched in the PATH of that reduced environment, whose relative and empty entries are not
    searched, so that no file of the working directory takes a command's name. Its real path becomes the
    action's name. ``enforcement`` is passed on as a fact (see ``offered``). The caller closes the command
    when ``load`` keeps files open; nothing stays open on failure.

    Raise ``CommandNotFoundError``, or ``UnmeasurableError`` for a file that is neither ELF nor a script, and
    for a script whose interpreter is relative, missing, itself a script, or hidden behind options of ``env``.
    """
    if sys.platform != "linux":
        raise UnmeasurableError(f"commands are measured and run on Linux, and this is {sys.platform}")
    arguments = list(argv)
    environment = {name: environ[name] for name in keep if name in environ}
    _check_text(arguments, environment, cwd)
    directory = os.path.realpath(cwd)
    if not cwd.startswith(b"/") or not os.path.isdir(directory):
        raise UnmeasurableError(f"the working directory {_show(cwd)} is not the absolute path of a directory")
    path = _find(arguments[0], directory, environment.get(b"PATH"))
    load = load or hash_file
    with ExitStack() as opened:
        executable = load(path)
        opened.callback(executable.close)
        measured: dict[str, bytes | str] = {"executable": executable.digest, "host": os.uname().nodename}
        interpreter: Image | None = None
        prefix: tuple[bytes, ...] = ()
        if executable.head.startswith(shebang.MARK):
            found, prefix = _find_interpreter(executable, directory, environment.get(b"PATH"))
            interpreter = load(found)
            opened.callback(interpreter.close)
            measured |= {"interpreter": interpreter.digest, "script": executable.digest}
        _check_elf(interpreter or executable, interpreter is not None)
        opened.pop_all()
    descriptor = {
        "type": "process.exec",
        "name": path,
        "args": arguments,
        "cwd": directory,
        "env": environment,
        "uid": os.geteuid(),
    }
    return Command(descriptor, Facts(measured, enforcement), executable, interpreter, prefix)


def hash_file(path: bytes) -> Image:
    """Return the image of the file at ``path``, keeping nothing open; raise ``UnmeasurableError``."""
    descriptor = open_file(path)
    try:
        return Image(path, *digest(descriptor))
    except OSError as error:
        raise UnmeasurableError(f"{_show(path)} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


def open_file(path: bytes) -> int:
    """Return a read-only descriptor of the regular file at ``path``; raise ``UnmeasurableError``."""
    try:
        # O_NONBLOCK keeps a FIFO that took the file's place from holding us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise UnmeasurableError(f"{_show(path)} cannot be read, so it cannot be hashed: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnmeasurableError(f"{_show(path)} is not a regular file")
    return descriptor


def digest(descriptor: int) -> tuple[bytes, bytes]:
    """Return the SHA-256 and the first 256 bytes of an open file, read from its start whatever its offset is.

    Raise ``OSError``, or ``UnmeasurableError`` when the file is larger than ``LARGEST``.
    """
    hasher = hashlib.sha256()
    head, size = b"", 0
    while chunk := os.pread(descriptor, _CHUNK, size):
        if size == 0:
            head = chunk[: shebang.HEAD]
        size += len(chunk)
        if size > LARGEST:
            raise UnmeasurableError(f"a file to be run is larger than {LARGEST} bytes")
        hasher.update(chunk)
    return hasher.digest(), head


def _find_interpreter(script: Image, cwd: bytes, path: bytes | None) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the real path of what runs ``script``, and its argv before the script."""
    try:
        prefix = shebang.parse(script.head)
        found = _find(prefix[0], cwd, path)
    except ExequaturError as error:
        raise UnmeasurableError(f"the script {_show(script.path)} cannot be measured: {error}") from None
    if shebang.is_env(found):
        raise UnmeasurableError(f"{_show(prefix[0])} is env, and what it would run is not measured")
    return found, prefix


def _find(name: bytes, cwd: bytes, path: bytes | None) -> bytes:
    """Return the real path of the executable file that ``name`` means; raise ``CommandNotFoundError``."""
    if b"/" in name:
        folders = [cwd]
    elif path is None:
        raise CommandNotFoundError(f"{_show(name)} has no slash, and the governed environment has no PATH to search")
    else:
        folders = [folder for folder in path.split(b":") if folder.startswith(b"/")]
    reason = "was not found" if b"/" in name else f"was not found in the absolute entries of PATH {_show(path or b'')}"
    for folder in folders if name else ():
        real = os.path.realpath(os.path.join(folder, name))
        if os.path.isdir(real):
            reason = "is a directory"
        elif os.path.isfile(real):
            # On a file system mounted noexec this is refused too, so a copy in memory is no way around the
            # mount.
            if os.access(real, os.X_OK, effective_ids=True):
                return real
            reason = "may not be executed by this user"
    raise CommandNotFoundError(f"{_show(name)} {reason}")


def _check_text(arguments: list[bytes], environment: dict[bytes, bytes], cwd: bytes) -> None:
    if not arguments:
        raise CommandNotFoundError("the command is empty")
    if any(b"\0" in text for text in (*arguments, *environment, *environment.values(), cwd)):
        raise UnmeasurableError(
            "an argument, a variable or the directory holds a zero byte, which Linux cannot pass on"
        )
    if any(not name or b"=" in name for name in environment):
        raise UnmeasurableError("the name of a variable is empty or holds '='")


def _check_elf(image: Image, interprets: bool) -> None:
    """Raise unless Linux itself runs ``image``; what a shell or binfmt_misc makes of it is not measured."""
    if image.head.startswith(_ELF):
        return
    if interprets and image.head.startswith(shebang.MARK):
        raise UnmeasurableError(
            f"the interpreter {_show(image.path)} is itself a script; name the program that it would run"
        )
    raise UnmeasurableError(f"{_show(image.path)} is neither an ELF file nor a script that starts with '#!'")


def _show(text: bytes) -> str:
    return repr(os.fsdecode(text))


def offered() -> frozenset[str]:
    """Return the names of the enforcement primitives that this host and build offer, each tried just now.

    ``rlimit-processes`` is not offered to root, nor with the capabilities that lift it: Linux would not
    enforce it. The other resource limits hold against accidents even then, but a process with
    CAP_SYS_RESOURCE can raise its own.
    """
    if sys.platform != "linux":
        return frozenset()
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as file:
            status = dict(line.split(":", 1) for line in file)
    except OSError:
        return frozenset()
    names = {"process-group", "output-limit"}
    if "NoNewPrivs" in status:
        names.add("no-new-privs")
    if _works(_probe_seal):
        names.add("sealed-image")
    if _works(_probe_pidfd):
        names |= {"pidfd", "wall-clock"}
    names.update(name for name in RESOURCE_LIMITS if _works(partial(_probe_limit, name)))
    capabilities = int(status["CapEff"], 16)
    if os.geteuid() == 0 or capabilities & (1 << _CAP_SYS_ADMIN | 1 << _CAP_SYS_RESOURCE):
        names.discard("rlimit-processes")
    return frozenset(names)


def create_memory_file(name: str) -> int:
    """Return a new file in memory that can be sealed and executed; ``name`` is only shown."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_EXEC)
    except OSError:
        # Before Linux 6.3 the flag was unknown, and every file in memory could be executed.
        return os.memfd_create(name, flags)


def seal_memory_file(descriptor: int) -> None:
    """Make the content of a file in memory immutable for ever, by anybody; raise ``OSError``."""
    import fcntl

    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)


def _works(probe: Callable[[], object]) -> bool:
    try:
        probe()
    except OSError:
        return False
    return True


def _probe_seal() -> None:
    descriptor = create_memory_file("probe")
    try:
        seal_memory_file(descriptor)
        if not os.access(f"/proc/self/fd/{descriptor}", os.X_OK):
            raise PermissionError("files in memory may not be executed here")
    finally:
        os.close(descriptor)


def _probe_pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))


def _probe_limit(name: str) -> None:
    import resource

    number = getattr(resource, RESOURCE_LIMITS[name])
    resource.setrlimit(number, resource.getrlimit(number))
