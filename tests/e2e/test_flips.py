"""One flipped bit in a bundle that ``authorize`` made: denied, at a step that has a name.

Every fourth byte here; of the vectors every byte is flipped (tests/properties/test_mutations.py).
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exequatur_cli.home import Home
from exequatur_cli.main import main
from exequatur_gate import clock
from exequatur_gate.state import State
from exequatur_verifier import verify
from exequatur_verifier.host import hash_file, measure, offered
from exequatur_verifier.memory import Memory, Proof
from exequatur_verifier.trust_file import parse as parse_trust
from exequatur_verifier.verdict import Code, Verdict
from tests.support.founded import SHELL, copy, enter, issue
from tests.support.mutation import flips, one_bit

COMMAND = (SHELL, b"-c", b"exit 0")
# Flips that the command itself judges, spread over the bundle; the kernel judges all of them.
SAMPLED = 64


@pytest.fixture(scope="module")
def entered(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with enter(copy(founded, tmp_path_factory.mktemp("flips") / "home")) as home:
        yield home


@pytest.fixture(scope="module", params=["first", "later"])
def bundle(entered: Home, request: pytest.FixtureRequest) -> bytes:
    """The first bundle of a home, and a later one, which carries proofs from the heads of those before."""
    if request.param == "later":
        for _ in range(3):
            issue(entered, [COMMAND], Path.cwd())
    (data,) = issue(entered, [COMMAND], Path.cwd())
    return data


def decider(home: Home, memory: Memory | None, proofs: tuple[Proof, ...] = ()) -> Callable[[bytes], Verdict]:
    trust = parse_trust((home.path / "trust.toml").read_bytes())
    environ = {b"PATH": b"/usr/bin:/bin"}
    command = measure(COMMAND, cwd=os.fsencode(Path.cwd()), environ=environ, load=hash_file, enforcement=offered())
    return lambda data: verify(data, command.descriptor, command.facts, trust, memory, proofs, clock.read())


def check_flips(bundle: bytes, decide: Callable[[bytes], Verdict]) -> None:
    assert decide(bundle).code is None
    for position, changed in flips(bundle, lambda position: one_bit(position) if position % 4 == 0 else ()):
        failure = decide(changed).failure
        assert failure is not None, position
        assert failure.code not in {None, Code.INTERNAL_ERROR}, position


def test_kernel_denies_every_flip_without_memory(entered: Home, bundle: bytes) -> None:
    check_flips(bundle, decider(entered, None))


def test_kernel_denies_every_flip_with_the_memory_of_the_home(entered: Home, bundle: bytes) -> None:
    state = State.open(str(entered.path / "state.db"), entered.settings.runtimes["local"].key.thumbprint)
    memory, proofs = state.recall()
    state.close()
    check_flips(bundle, decider(entered, memory, proofs))


def test_command_denies_a_flip_and_names_the_step(
    entered: Home, bundle: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "LANG", "LC_ALL", "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    file = tmp_path / "x.exq"

    def check(data: bytes) -> tuple[int, str]:
        file.write_bytes(data)
        words = [os.fsdecode(word) for word in COMMAND]
        status = main(["verify", str(file), "--home", str(entered.path), "--json", "--", *words])
        told = capsys.readouterr()
        verdict = json.loads(told.out)
        if status == 0:
            return status, ""
        assert told.err.splitlines()[-1].startswith(f"denied at step {verdict['step']} (")
        assert verdict["steps"][verdict["step"]]["code"] == verdict["code"]
        return status, verdict["code"]

    assert check(bundle) == (0, "")
    codes = set()
    for position, changed in flips(bundle, one_bit):
        if position % (len(bundle) // SAMPLED) == 0:
            status, code = check(changed)
            assert status == (65 if code == "ARTIFACT_MALFORMED" else 77), position
            codes.add(code)
    assert len(codes) > 3
