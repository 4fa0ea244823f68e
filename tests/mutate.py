"""``make mutate``: the long campaign against the kernel. Hours of nothing found is what it is for.

    flips     every flip of one bit, of every valid vector
    values    every other value of every byte, of one vector of each family of algorithms
    checks    the kernel with one denial taken out: some vector must notice (each of them, of steps 0 to 14)

``python -m tests.mutate checks`` runs one of them. It ends 1 if anything was found.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Final, TypeGuard

from tests.data import ROOT
from tests.support.mutation import all_bits, all_values, flips, survivors
from tests.vectors import form
from tests.vectors.valid_governed import VALID

FAMILIES: Final = ("valid-es256", "valid-es384", "valid-ed25519", "valid-ml-dsa-44")
KERNEL: Final = ROOT / "verifier" / "exequatur_verifier"
STEPS: Final = ("checks.py", "transparency.py", "elements.py", "consent.py", "delegation.py", "status.py")
# Denials that no vector can miss, by words of theirs, and why.
REDUNDANT: Final = {
    "is not trusted with this key for": "the next denial has the same code, and says less",
    "was not asked for with the key of": "the signature that is checked next is not that key's either",
    "the action is not within the grant": "that follows from the subset, and is checked all the same (V-47)",
    "Denial(Code.ACTION_MISMATCH, str(error))": "a vector's action is one; tests/verifier/test_verify.py has others",
}
# Bytes of a bundle that one task mutates.
SHARE: Final = 200

Task = Callable[[], list[str]]
Masks = Callable[[int], Iterable[int]]


def mutate(name: str, start: int, masks: Masks) -> list[str]:
    """Return what survives of the mutants of a share of a vector's bytes."""
    vector = VALID[name]()
    assert vector.bundle is not None
    stop = min(start + SHARE, len(vector.bundle))
    mutants = flips(vector.bundle, lambda position: masks(position) if start <= position < stop else ())
    return [f"{name}: {line}" for line in survivors(vector, mutants)]


def shares(names: Iterable[str], masks: Masks) -> list[Task]:
    """Return the tasks that mutate all bytes of the named vectors."""
    tasks: list[Task] = []
    for name in names:
        vector = VALID[name]()
        assert vector.bundle is not None
        tasks += (partial(mutate, name, start, masks) for start in range(0, len(vector.bundle), SHARE))
    return tasks


def denials() -> list[tuple[str, int]]:
    """Return the file and line of every ``raise Denial(…)`` of the steps."""
    return [
        (file, node.lineno)
        for file in STEPS
        for node in ast.walk(ast.parse((KERNEL / file).read_text()))
        if _is_denial(node) and not any(words in ast.unparse(node) for words in REDUNDANT)
    ]


def without(file: str, line: int) -> list[str]:
    """Return a complaint unless some vector notices that the denial on that line is gone."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / KERNEL.name
        shutil.copytree(KERNEL, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / file).write_text(ast.unparse(_Remover(line).visit(ast.parse((copy / file).read_text()))))
        environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
        replay = [sys.executable, "-m", "tests.mutate", "replay"]
        result = subprocess.run(replay, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    return [] if result.returncode == 1 else [f"{file}:{line}: no vector misses this denial {result.stderr[-500:]}"]


def replay() -> int:
    """Return 1 if any vector is decided otherwise than it says, or 0."""
    for folder in form.FOLDER.glob("*-*"):
        if form.expected(form.run(form.read(folder))) != (folder / "expected.json").read_text():
            return 1
    return 0


def campaign(title: str, tasks: list[Task], *, processes: bool = True) -> list[str]:
    """Run tasks on all processors with a line of progress; return what they found."""
    began, found = time.monotonic(), list[str]()
    pool = ProcessPoolExecutor if processes else ThreadPoolExecutor
    with pool(os.cpu_count()) as executor:
        futures = [executor.submit(task) for task in tasks]
        for done, future in enumerate(as_completed(futures), 1):
            found += future.result()
            spent = time.monotonic() - began
            left = spent / done * (len(tasks) - done)
            print(
                f"\r{title}: {done} of {len(tasks)} tasks, {len(found)} found, {left:.0f} s left ", end="", flush=True
            )
    print(f"\r{title}: {len(tasks)} tasks in {time.monotonic() - began:.0f} s, {len(found)} found" + " " * 20)
    return found


def main(names: list[str]) -> int:
    """Run the named campaigns, or all; return the exit status."""
    found: list[str] = []
    if not names or "checks" in names:
        found += campaign("checks", [partial(without, *place) for place in denials()], processes=False)
    if not names or "flips" in names:
        found += campaign("flips", shares(VALID, all_bits))
    if not names or "values" in names:
        found += campaign("values", shares(FAMILIES, all_values))
    print("\n".join(found) or "nothing was admitted, and nothing was unforeseen")
    return 1 if found else 0


class _Remover(ast.NodeTransformer):
    def __init__(self, line: int) -> None:
        self.line = line

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        return ast.Pass() if node.lineno == self.line and _is_denial(node) else node


def _is_denial(node: ast.AST) -> TypeGuard[ast.Raise]:
    return (
        isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id in ("Denial", "_invalid")
    )


if __name__ == "__main__":
    sys.exit(replay() if sys.argv[1:] == ["replay"] else main(sys.argv[1:]))
