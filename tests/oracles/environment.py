"""The environments of the independent implementations that tests compare with.

Each lives in `.venv-oracles/NAME`, made by `make test` from `tests/oracles/NAME/requirements.lock`, and runs
as a program of its own: what it shares with the code under test is bytes, and nothing else.
"""

from tests.data import ROOT


def interpreter(name: str) -> str:
    """Return the Python of one oracle. Raises FileNotFoundError where `make test` has not made it."""
    python = ROOT / ".venv-oracles" / name / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"the oracle {name} has no environment: run make .venv-oracles/{name}/.ready")
    return str(python)
