"""The command line: one group, whose commands are loaded when they are called.

A command parses, makes one call and reports. ``--home`` and ``--json`` are taken before and after the command's name.
Whatever goes wrong becomes an exit status here and nowhere else:

    0  done, proven, allowed      2  usage                     69  something unreachable
    1  a case differs             65 malformed input           70  our bug
    77 denied or not proven
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click

from exequatur_verifier.errors import ExequaturError, MalformedError

from .output import Output

EXIT_DENIED: Final = 77
EXIT_MALFORMED: Final = 65
EXIT_UNAVAILABLE: Final = 69
EXIT_BUG: Final = 70

# Each command stands in the module of its name below ``commands``.
COMMANDS: Final = (
    "approve",
    "audit",
    "authorize",
    "bench",
    "bundle",
    "delegate",
    "demo",
    "doctor",
    "enrol",
    "init",
    "keys",
    "lineage",
    "log",
    "observed",
    "policy",
    "revoke",
    "run",
    "serve",
    "signer",
    "tools",
    "verify",
    "witness",
)


class Unavailable(click.ClickException):
    """Something that the command needs cannot be reached: a home, a log, a file."""

    exit_code = EXIT_UNAVAILABLE


class _Commands(click.Group):
    """The group: knows the commands by name, and imports one only when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"exequatur_cli.commands.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


def _set_home(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(dict)["home"] = value


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(dict)["json"] = True


def with_home(function: Any) -> Any:
    """Give a command ``--home`` and ``--json``, which are found on whichever side of its name they stood."""
    home = click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        expose_value=False,
        is_eager=True,
        callback=_set_home,
        help="The home to work in.",
    )
    return home(with_json(function))


def with_json(function: Any) -> Any:
    """Give a command that works in no home ``--json``."""
    json = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_json,
        help="Report one JSON object on stdout.",
    )
    return json(function)


def output_of(ctx: click.Context) -> Output:
    """Return where and how this invocation reports."""
    return Output(json=bool(ctx.ensure_object(dict).get("json")))


def home_of(ctx: click.Context) -> Path | None:
    """Return the home named on the command line, or ``None``."""
    home: Path | None = ctx.ensure_object(dict).get("home")
    return home


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="exequatur", message="%(prog)s %(version)s")
@with_home
def group() -> None:
    """Nothing runs unless an offline verifier has seen a signed, logged permission for it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        status = group.main(arguments, prog_name="exequatur", standalone_mode=False, obj={})
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.Abort:
        return _fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MalformedError as error:
        return _fail(str(error), EXIT_MALFORMED)
    except ExequaturError as error:
        return _fail(str(error), EXIT_DENIED)
    except OSError as error:
        return _fail(str(error), EXIT_UNAVAILABLE)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # noqa: BLE001  # the outermost edge: a bug is reported as one, and permits nothing
        return _fail(f"{type(error).__name__}: {error}\nThis is a bug in exequatur; please report it.", EXIT_BUG)
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"exequatur: {message}\n")
    return status
