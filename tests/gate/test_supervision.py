"""Supervision: limits, output, leftovers, terminals, signals, and a command whose gate dies."""

import hashlib
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exequatur_gate.execute import execute
from exequatur_gate.process import Identity, kill_identity
from exequatur_gate.start import StartError
from exequatur_verifier.constraints import Limits
from tests.gate.commands import Run, is_dead, prepare, run, shell, wait_until


def test_wall_limit_kills_the_group(tmp_path: Path) -> None:
    # G-20
    result, stdout, _, _ = shell("echo $$; sleep 60 & echo $!; wait", tmp_path, limits=Limits(wall_ms=200))
    assert (result.status, result.code, result.signal) == ("killed", None, signal.SIGKILL)
    assert result.violations == ("wall",)
    assert result.resources.wall_us >= 200_000
    assert all(is_dead(int(pid)) for pid in stdout.split())
    assert shell("echo in time", tmp_path, limits=Limits(wall_ms=60_000)).result.violations == ()


def test_output_limit_kills_at_the_first_byte_too_many(tmp_path: Path) -> None:
    # G-20
    loop = shell("while :; do echo x; done", tmp_path, limits=Limits(output=1001))
    assert (loop.result.status, loop.result.violations) == ("killed", ("output",))
    assert loop.stdout == b"x\n" * 500 + b"x"
    assert loop.result.stdout == (hashlib.sha256(loop.stdout).digest(), 1001)
    exact = shell("printf abc; printf de >&2", tmp_path, limits=Limits(output=5))
    assert (exact.result.status, exact.result.violations, exact.stdout, exact.stderr) == (
        "exited",
        (),
        b"abc",
        b"de",
    )
    late = shell("printf abc; printf def >&2", tmp_path, limits=Limits(output=5))
    assert late.result.violations == ("output",)
    assert len(late.stdout + late.stderr) == 5
    assert shell("echo", tmp_path, limits=Limits(output=0)).stdout == b""


def test_every_resource_limit_arrives(tmp_path: Path) -> None:
    limits = Limits(cpu_s=5, memory=1 << 30, files=17, processes=300, file_size=4096)
    command = prepare(b"cat", b"/proc/self/limits", cwd=tmp_path)
    lines = {
        line[:26].strip(): line[26:].split()[:2] for line in run(command, tmp_path, limits=limits).stdout.splitlines()
    }
    assert lines[b"Max cpu time"] == [b"5", b"6"]
    assert lines[b"Max address space"] == [b"1073741824"] * 2
    assert lines[b"Max open files"] == [b"17"] * 2
    assert lines[b"Max processes"] == [b"300"] * 2
    assert lines[b"Max file size"] == [b"4096"] * 2


def test_limit_is_never_raised(tmp_path: Path) -> None:
    # G-19
    result = shell("ulimit -n", tmp_path, limits=Limits(files=2**62))
    assert int(result.stdout) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_processor_limit_is_told(tmp_path: Path) -> None:
    result = shell("while :; do :; done", tmp_path, limits=Limits(cpu_s=1)).result
    assert (result.status, result.signal, result.violations) == ("signaled", signal.SIGXCPU, ("cpu",))


def test_file_size_limit_is_told(tmp_path: Path) -> None:
    write_much = "exec dd if=/dev/zero of=big bs=1000 count=100"
    result = shell(write_much, tmp_path, limits=Limits(file_size=5000)).result
    assert (result.signal, result.violations) == (signal.SIGXFSZ, ("file-size",))
    assert (tmp_path / "big").stat().st_size == 5000
    assert shell(write_much, tmp_path).result.violations == ()


def test_memory_limit_holds(tmp_path: Path) -> None:
    program = "exec dd if=/dev/zero of=/dev/null bs=400M count=1"
    assert shell(program, tmp_path).result.code == 0
    assert shell(program, tmp_path, limits=Limits(memory=200 << 20)).result.code not in {0, None}


def test_memory_too_small_to_begin_is_no_outcome_of_the_command(tmp_path: Path) -> None:
    try:
        result = shell("touch ran", tmp_path, limits=Limits(memory=4096)).result
    except StartError:
        pass
    else:
        assert result.status == "signaled"
    assert not (tmp_path / "ran").exists()


def test_what_is_left_of_the_session_is_killed_and_counted(tmp_path: Path) -> None:
    result, stdout, _, _ = shell("sleep 60 & echo $!; sleep 60 & echo $!", tmp_path)
    assert (result.status, result.code, result.leftovers, result.swept) == ("exited", 0, 2, True)
    assert all(is_dead(int(pid)) for pid in stdout.split())


def test_process_that_left_the_session_does_not_hold_the_gate(tmp_path: Path) -> None:
    # It is a stated limit that such a process is not followed; that it cannot hang or flood the gate is not.
    escape = "setsid sh -c 'echo $$ > pid; exec yes' & while [ ! -s pid ]; do :; done"
    result = shell(escape, tmp_path).result
    pid = int((tmp_path / "pid").read_text())
    assert (result.status, result.leftovers) == ("exited", 0)
    if not is_dead(pid):
        os.kill(pid, signal.SIGKILL)


def test_much_output_arrives_whole(tmp_path: Path) -> None:
    program = "head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2"
    result, stdout, stderr, _ = shell(program, tmp_path)
    assert (stdout, stderr) == (bytes(5_000_000), bytes(3_000_000))
    assert result.stdout == (hashlib.sha256(stdout).digest(), 5_000_000)


def test_reader_that_goes_away_loses_no_outcome(tmp_path: Path) -> None:
    source, sink = os.pipe()
    os.close(source)
    result = shell("while :; do echo y; done", tmp_path, stdio=(0, sink, 2)).result
    assert (result.status, result.signal) == ("signaled", signal.SIGPIPE)
    os.close(sink)


@pytest.mark.parametrize("nonblocking", [False, True])
def test_reader_that_takes_nothing_does_not_stop_the_clock(nonblocking: bool, tmp_path: Path) -> None:
    source, sink = os.pipe()
    os.set_blocking(sink, not nonblocking)
    limits = Limits(wall_ms=100)
    result = shell("while :; do echo y; done", tmp_path, stdio=(0, sink, 2), limits=limits).result
    assert (result.status, result.violations) == ("killed", ("wall",))
    assert os.get_blocking(sink) != nonblocking
    os.close(source)
    os.close(sink)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("nonblocking", [False, True])
def test_socket_gets_everything(nonblocking: bool, tmp_path: Path) -> None:
    sink, source = socket.socketpair()
    sink.setblocking(not nonblocking)
    received = bytearray()

    def read() -> None:
        while data := source.recv(100_000):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    result = shell("head -c 1000000 /dev/zero", tmp_path, stdio=(0, sink.fileno(), 2)).result
    sink.close()
    reader.join()
    source.close()
    assert received == bytes(1_000_000)
    assert result.stdout == (hashlib.sha256(received).digest(), 1_000_000)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_slow_reader_gets_everything(tmp_path: Path) -> None:
    source, sink = os.pipe()
    received = bytearray()

    def read_slowly() -> None:
        while data := os.read(source, 100_000):
            received.extend(data)
            time.sleep(0.001)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    result = shell("head -c 1000000 /dev/zero", tmp_path, stdio=(0, sink, 2)).result
    os.close(sink)
    reader.join()
    os.close(source)
    assert received == bytes(1_000_000)
    assert result.stdout == (hashlib.sha256(received).digest(), 1_000_000)


def read_terminal(master: int) -> bytes:
    text = b""
    while not text.endswith(b"end\r\n"):
        text += os.read(master, 1000)
    return text


def test_terminal_is_handed_to_the_command(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    stdio = (terminal, terminal, terminal)
    program = "test -t 0 && test -t 1 && test -t 2 && echo terminal; echo end"
    result = shell(program, tmp_path, stdio=stdio).result
    assert read_terminal(master) == b"terminal\r\nend\r\n"
    assert (result.stdout, result.stderr) == (None, None)
    result = shell("test -t 1 || echo pipe; echo end", tmp_path, stdio=stdio, limits=Limits(output=100)).result
    assert read_terminal(master) == b"pipe\r\nend\r\n"
    assert result.stdout is not None
    assert result.stdout.size == 9
    os.close(master)
    os.close(terminal)


@pytest.fixture
def heeded() -> Iterator[None]:
    """Signals as a terminal has them: what a test run under ``nohup`` ignores, its children would ignore as well."""
    former = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGHUP, signal.SIGTERM)}
    former[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_signals_to_the_gate_reach_the_command(heeded: None, tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    # The child signals its gate, which hands it on to the child's group.
    program = "trap 'echo $1; exit 3' $1; kill -$1 $PPID; while :; do sleep 0.01; done"
    for name in (b"TERM", b"INT", b"HUP"):
        result, stdout, _, _ = shell(program, tmp_path, b"sh", name)
        assert (result.code, stdout) == (3, name + b"\n")
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]


def test_signal_before_the_release_waits_for_the_command(tmp_path: Path) -> None:
    seen: list[Identity] = []

    def record(identity: Identity) -> None:
        seen.append(identity)
        os.kill(os.getpid(), signal.SIGTERM)

    result = execute(prepare(b"sleep", b"60", cwd=tmp_path), record=record, stdio=(0, 1, 2))
    assert (result.status, result.signal) == ("signaled", signal.SIGTERM)
    assert is_dead(seen[0].pid)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_signal_ends_the_waiting_for_a_reader_that_takes_nothing(tmp_path: Path) -> None:
    source, sink = os.pipe()

    def interrupt(identity: Identity) -> None:
        wait_until(lambda: not Path(f"/proc/{identity.pid}").exists())
        os.kill(os.getpid(), signal.SIGTERM)

    def record(identity: Identity) -> None:
        threading.Thread(target=interrupt, args=[identity]).start()

    # More than the reader's pipe holds, and less than that and the command's: the command ends by itself.
    command = prepare(b"head", b"-c", b"100000", b"/dev/zero", cwd=tmp_path)
    result = execute(command, record=record, stdio=(0, sink, 2))
    command.close()
    assert (result.status, result.code) == ("exited", 0)
    assert not is_dead(os.getpid())
    os.close(source)
    os.close(sink)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_thread_runs_a_command_without_touching_signals(tmp_path: Path) -> None:
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(shell("echo thread", tmp_path)))
    thread.start()
    thread.join()
    assert runs[0].stdout == b"thread\n"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_thread_whose_children_are_thrown_away_starts_nothing(tmp_path: Path) -> None:
    errors: list[StartError] = []

    def try_to_start() -> None:
        with pytest.raises(StartError) as error:
            shell("touch ran", tmp_path)
        errors.append(error.value)

    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    thread = threading.Thread(target=try_to_start)
    thread.start()
    thread.join()
    signal.signal(signal.SIGCHLD, previous)
    assert len(errors) == 1
    assert not (tmp_path / "ran").exists()


def test_ignored_children_are_still_told(tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert shell("exit 5", tmp_path).result.code == 5
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, previous)


GATE = """
import json, os, signal, sys
from exequatur_gate.execute import execute
from exequatur_gate.images import seal
from exequatur_verifier.host import measure

def record(identity):
    print(json.dumps(identity), flush=True)
    if sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGKILL)

argv = [os.fsencode(word) for word in sys.argv[2:]]
command = measure(argv, cwd=os.getcwdb(), environ=os.environb, load=seal)
execute(command, record=record, stdio=(0, 2, 2))
"""


def start_gate(when: str, program: str, folder: Path) -> tuple[subprocess.Popen[str], Identity]:
    arguments = [sys.executable, "-c", GATE, when, "/bin/sh", "-c", program]
    gate = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert gate.stdout is not None
    return gate, Identity(*json.loads(gate.stdout.readline()))


def test_command_never_runs_when_its_gate_dies_before_the_release(tmp_path: Path) -> None:
    # G-17
    gate, identity = start_gate("before", "touch ran; sleep 60", tmp_path)
    with gate:
        assert gate.wait() == -signal.SIGKILL
    wait_until(lambda: is_dead(identity.pid))
    assert not (tmp_path / "ran").exists()
    assert kill_identity(identity) == "not-found"


def test_command_dies_with_its_gate_and_the_rest_is_found_again(tmp_path: Path) -> None:
    gate, identity = start_gate("later", "sleep 60 & echo $! > pid; mv pid member; wait", tmp_path)
    with gate:
        wait_until((tmp_path / "member").exists)
        gate.kill()
    wait_until(lambda: is_dead(identity.pid))
    member = int((tmp_path / "member").read_text())
    assert not is_dead(member)
    if identity.autogroup is None:
        assert kill_identity(identity) == "unknown"
        os.kill(member, signal.SIGKILL)
    else:
        assert kill_identity(identity) == "terminated"
        assert is_dead(member)
        assert kill_identity(identity) == "not-found"
