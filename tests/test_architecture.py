"""What no linter states about the shape of the code: sizes, edges, and what an import pulls in."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import ROOT

PACKAGES = {
    "exequatur_verifier": ROOT / "verifier" / "exequatur_verifier",
    "exequatur_gate": ROOT / "verifier" / "exequatur_gate",
    "exequatur_log": ROOT / "log" / "exequatur_log",
    "exequatur_issuer": ROOT / "issuer" / "exequatur_issuer",
    "exequatur_cli": ROOT / "cli" / "exequatur_cli",
}
MODULES = [path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))]

# A file does one job. One that outgrows this does two.
LINES = 350

# The third-party modules that a package of the base install may name, beside ours and the standard library.
KERNEL = {"cryptography", "cbor2"}
THIRD_PARTY = {"exequatur_verifier": KERNEL, "exequatur_gate": set[str]()}

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


def imported_roots(tree: ast.Module) -> Iterator[str]:
    """Yield the top-level name of every absolute import, lazy ones and those for types included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def calls(tree: ast.Module, *names: str) -> list[int]:
    """Return the lines on which one of these built-in functions is called."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ]


@each_module
def test_file_is_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES


@each_module
def test_only_the_edges_print(path: Path) -> None:
    if path.name == "__main__.py" or path.is_relative_to(PACKAGES["exequatur_cli"]):
        return
    assert calls(ast.parse(path.read_text()), "print", "input") == []


@pytest.mark.parametrize("package", sorted(THIRD_PARTY))
def test_base_install_imports_nothing_beyond_its_dependencies(package: str) -> None:
    allowed = sys.stdlib_module_names | THIRD_PARTY[package] | {"exequatur_verifier", package}
    for path in PACKAGES[package].rglob("*.py"):
        assert set(imported_roots(ast.parse(path.read_text()))) <= allowed, path


def test_kernel_opens_no_file() -> None:
    # V-01
    for path in PACKAGES["exequatur_verifier"].rglob("*.py"):
        tree = ast.parse(path.read_text())
        # A module that opens signed notes has an `open` of its own, and so cannot reach the built-in one.
        own = any(isinstance(node, ast.FunctionDef) and node.name == "open" for node in tree.body)
        if path.name not in {"host.py", "__main__.py"} and not own:
            assert calls(tree, "open") == [], path


def test_importing_the_kernel_loads_two_distributions_and_no_machinery() -> None:
    # V-01
    # What the interpreter's own start-up loads is not ours to judge; measuring coverage in the child would be.
    program = (
        "import sys, json\n"
        "before = set(sys.modules)\n"
        "import exequatur_verifier\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    roots = {name.partition(".")[0] for name in json.loads(result.stdout)}
    foreign = roots - sys.stdlib_module_names - {"exequatur_verifier"}
    # cryptography's one extension makes `_openssl` in memory, with no file of its own, by way of cffi's extension.
    assert foreign <= KERNEL | {"_cffi_backend", "_openssl"}
    assert not roots & {"asyncio", "http", "socket", "sqlite3", "ssl", "subprocess", "urllib"}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_public_names_exist(package: str) -> None:
    # That `__all__` is sorted is ruff's to hold (RUF022).
    module = importlib.import_module(package)
    public = getattr(module, "__all__", [])
    assert len(public) == len(set(public))
    assert [name for name in public if not hasattr(module, name)] == []


@each_module
def test_cited_specifications_exist(path: Path) -> None:
    for number in re.findall(r"\bspecs/(\d\d)\b", path.read_text()):
        assert list((ROOT / "specs").glob(f"{number}-*.md")), f"{path.name} cites specs/{number}"
