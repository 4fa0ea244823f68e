"""The door of the `exequatur` and `exq` scripts.

The scripts are installed with the base distribution, whose two dependencies do not include the command
line's own. This module therefore imports nothing but the standard library before it knows that the rest
is there, and where something is missing it names the extra that brings it.
"""

import sys

# The extra that brings each distribution's top-level module.
EXTRAS = {
    "aiosqlite": "log",
    "alembic": "log",
    "asyncpg": "postgres",
    "cedar_mcp_schema_generator": "tools",
    "cedarpy": "issuer",
    "click": "cli",
    "fastapi": "log",
    "greenlet": "log",
    "httptools": "log",
    "httpx2": "log",
    "joserfc": "issuer",
    "obstore": "objectstore",
    "prometheus_client": "log",
    "sqlalchemy": "log",
    "starlette": "log",
    "structlog": "log",
    "uvicorn": "log",
    "uvloop": "log",
}

# A wrong invocation, as click has it: nothing was decided and nothing has run.
EXIT_USAGE = 2


def main() -> int:
    """Run the command line and return its exit status.

    A command imports what it needs when it is called, so a missing extra can show at once or later;
    both are told the same way. A missing module that no extra brings is a broken install and is raised.
    """
    try:
        from exequatur_cli.main import main as command

        return command()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        extra = EXTRAS[module]
        sys.stderr.write(
            f"exequatur: this command needs {module}, which is not installed.\n"
            f"Install it with: pip install 'exequatur[{extra}]'\n"
            "Without it: `python -m exequatur_verifier` verifies, `python -m exequatur_gate` runs.\n"
        )
        return EXIT_USAGE
