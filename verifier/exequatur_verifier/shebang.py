"""The first line of a script: which program runs it, read exactly as Linux reads it (fs/binfmt_script.c).

``env`` in that place is seen through: what it would run is named instead, because that is what must be
measured. Everything that would make Linux or ``env`` run something else than what stands there is refused.
"""

from typing import Final

from .errors import MalformedError

MARK: Final = b"#!"
HEAD: Final = 256  # Linux reads so much of a file to learn how to run it (BINPRM_BUF_SIZE).

_BLANKS: Final = b" \t"


def parse(head: bytes) -> tuple[bytes, ...]:
    """Return the arguments that a program gets before the script: its own name, and at most one more.

    ``head`` are the first 256 bytes of a file that begins with "#!". The name is an absolute path, or the
    bare name of a command when ``env`` would have searched it in PATH. Raise ``MalformedError``.
    """
    line, newline, _ = head[len(MARK) :].partition(b"\n")
    if not newline:
        raise MalformedError(f"the first line does not end within {HEAD} bytes, and Linux would cut it off")
    line = line.strip(_BLANKS)
    if not line or b"\0" in line:
        raise MalformedError("the first line names no interpreter, or holds a zero byte")
    name = line.replace(b"\t", b" ").split(b" ", 1)[0]
    # What follows is one argument, its inner blanks included.
    argument = line[len(name) :].lstrip(_BLANKS)
    if is_env(name):
        return (_command_of_env(argument),)
    if not name.startswith(b"/"):
        raise MalformedError(f"the interpreter {name!r} is not an absolute path")
    return (name, argument) if argument else (name,)


def is_env(path: bytes) -> bool:
    """Say whether a path is that of ``env``, which runs another program in its own place."""
    return path.rpartition(b"/")[2] == b"env"


def _command_of_env(argument: bytes) -> bytes:
    """Return the command that ``env`` would run when it is given nothing but its name."""
    if not argument or argument.startswith(b"-") or any(mark in argument for mark in (b"=", b" ", b"\t")):
        raise MalformedError(f"env is followed by {argument!r}, where one name of a command must stand")
    if b"/" in argument and not argument.startswith(b"/"):
        raise MalformedError(f"the interpreter {argument!r} is a relative path")
    return argument
