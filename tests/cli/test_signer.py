"""``exequatur signer``: the authority's keys in another process, and the home that asks it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exequatur_cli import settings, signing
from exequatur_cli.home import now, open_home
from exequatur_issuer.authorize import Issued
from exequatur_issuer.signers.errors import SignerRefusedError, SignerUnavailableError
from exequatur_issuer.signers.remote import RemoteSigner
from exequatur_log.blocking import BlockingLog
from exequatur_verifier import statement
from exequatur_verifier.host import hash_file, measure
from tests.cli.conftest import Exq
from tests.data import ROOT
from tests.support.founded import ENVIRON, ask, enter

ROLES = ("authority", "operator", "owner", "receipts", "checkpoints")
EXEQUATUR = (sys.executable, "-c", "import sys; from exequatur_cli.main import main; sys.exit(main())")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def vault(exq: Exq, home: Path, tmp_path: Path) -> Path:
    """A directory of a daemon that has the keys of authority, owner and log, which the home has no more."""
    called = exq("signer", "take", tmp_path / "vault", *ROLES, "--socket", tmp_path / "sock", "--home", home, "--json")
    assert called.status == 0, called.err
    assert set(called.json["keys"]) == set(ROLES)
    return tmp_path / "vault"


@contextmanager
def started(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving(vault: Path, *more: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A daemon of its own process that answers."""
    journal = ("--journal", vault / "journal")
    with started(*EXEQUATUR, "signer", "serve", vault, "--socket", vault.parent / "sock", *journal, *more) as process:
        assert process.stdout is not None
        assert " at " in process.stdout.readline()
        yield process


def journal_of(vault: Path) -> list[dict[str, int | str]]:
    return [json.loads(line) for line in (vault / "journal").read_text().splitlines()]


def test_the_home_works_as_before_and_holds_no_key_of_the_authority(exq: Exq, home: Path, vault: Path) -> None:
    #
    assert {path.name for path in (home / "keys").iterdir()} == {
        "approver.pem",
        "passphrase",
        "requester.pem",
        "runtime.pem",
    }
    assert (vault / "keys" / "passphrase").read_bytes() != (home / "keys" / "passphrase").read_bytes()
    with serving(vault) as daemon:
        assert exq("run", "--home", home, "--", "sh", "-c", "echo ran >> ran").status == 0
        assert exq("authorize", "-o", "later.exq", "--home", home, "--", "sh", "-c", "echo ran >> ran").status == 0
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
        # The runtime needs nothing of it: what was authorized runs.
        assert exq("verify", "later.exq", "--home", home, "--", "sh", "-c", "echo ran >> ran").status == 0
    assert Path("ran").read_text() == "ran\n"
    assert exq("audit", home, "--json").json["consistent"]
    lines = journal_of(vault)
    assert {line["event"] for line in lines} == {"signed"}
    assert {(line["uid"], line["pid"]) for line in lines} == {(os.geteuid(), os.getpid())}
    with BlockingLog.open(home / "log.db") as log:
        logged = {log.get(index).record_id.hex(): log.get(index).kind for index in range(log.head().size)}
    assert sorted(logged[str(line["digest"])] for line in lines if line["name"] == "authority") == [
        "authorization",
        "authorization",
        "decision",
        "decision",
    ]
    assert {line["kind"] for line in lines if line["name"] in ("receipts", "checkpoints")} == {"head", "checkpoint"}


def test_without_the_daemon_nothing_is_authorized_and_the_error_says_what_to_do(
    exq: Exq, home: Path, vault: Path
) -> None:
    #
    called = exq("run", "--home", home, "--", "touch", "ran")
    assert called.status == 69
    assert "exequatur signer serve" in called.err
    assert not Path("ran").exists()
    with serving(vault):
        assert exq("run", "--home", home, "--", "touch", "ran").status == 0


def test_a_user_that_is_not_listed_gets_nothing_signed(exq: Exq, home: Path, vault: Path) -> None:
    #
    with serving(vault, "--allow-uid", str(os.geteuid() + 1)):
        called = exq("run", "--home", home, "--", "touch", "ran")
    assert called.status == 77
    assert "--allow-uid" in called.err
    assert not Path("ran").exists()
    assert {line["code"] for line in journal_of(vault)} == {"peer"}


@pytest.mark.parametrize("last", [1, 2])
def test_a_daemon_killed_in_the_middle_of_a_signature_leaves_one_artifact(
    home: Path, vault: Path, tmp_path: Path, last: int
) -> None:
    # the decision is the first signature of an answer, the artifact the second
    command = measure([b"true"], cwd=os.fsencode(tmp_path), environ=ENVIRON, load=hash_file, enforcement=frozenset())
    marker = tmp_path / "marker"
    with enter(home) as opened:
        with serving(vault):
            opened.log.head()
            asked = ask(opened, command.descriptor, command.facts.measured)
        mortal = (sys.executable, "-m", "tests.cli.mortal_signer", vault, tmp_path / "sock", marker, str(last))
        with started(*mortal) as daemon:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            killer = threading.Thread(target=_kill_at, args=(marker, daemon.pid))
            killer.start()
            with pytest.raises(SignerUnavailableError, match="see that"):
                opened.authority(now()).authorize_many([asked], now=now())
            killer.join()
            assert daemon.wait(60) == -signal.SIGKILL
        request = statement.parse(asked.request).id
        assert opened.journal.find(request) is None
        with pytest.raises(SignerUnavailableError, match="exequatur signer serve"):
            opened.authority(now()).authorize_many([asked], now=now())
        with serving(vault):
            # At another time, and by another object, as another process would.
            answers = [opened.authority(time_).authorize_many([asked], now=time_)[0] for time_ in (now(), now() + 5)]
        first, second = answers
        assert isinstance(first, Issued)
        assert isinstance(second, Issued)
        assert (first.authorization, first.decision) == (second.authorization, second.decision)
        assert opened.journal.find(request) is not None
        kinds = [entry.kind for entry in opened.log.find(sub=first.subject, limit=100)]
    assert sorted(kinds) == ["authorization", "decision", "request"]


def _kill_at(marker: Path, process: int) -> None:
    for _ in range(3000):
        if marker.exists():
            break
        time.sleep(0.02)
    os.kill(process, signal.SIGKILL)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is somebody whom only root can be")
def test_another_user_runs_what_it_may_with_keys_that_it_cannot_read(founded: Path, home: Path, vault: Path) -> None:
    #
    agent = 65_534
    place = Path("/var/tmp") / f"exequatur-test-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        shutil.copytree(home, place / "home")
        shutil.copytree(founded, place / "warm")
        path = place / "home" / "authority.toml"
        path.write_text(path.read_text().replace(str(vault.parent / "sock"), str(place / "sock")))
        for each in (place / "home", *(place / "home").rglob("*")):
            os.chown(each, agent, agent)
        program = f"""
import os, sys
from pathlib import Path
from exequatur_cli.main import main
os.chdir({str(place)!r})
# Where the interpreter itself is root's, what is needed of it is loaded before.
assert main(["run", "--home", {str(place / "warm")!r}, "--", "true"]) == 0
os.setgroups([]); os.setgid({agent}); os.setuid({agent})
try:
    Path({str(vault)!r}, "keys", "authority.pem").read_bytes()
except PermissionError:
    sys.exit(main(["run", "--home", {str(place / "home")!r}, "--", "true"]))
sys.exit(3)
"""
        command: list[str | Path] = [
            *EXEQUATUR,
            "signer",
            "serve",
            vault,
            "--socket",
            place / "sock",
            "--journal",
            vault / "journal",
        ]
        with started(*command, "--allow-uid", str(agent)) as daemon:
            assert daemon.stdout is not None
            assert " at " in daemon.stdout.readline()
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            # Root is not listed, and so it is nobody here.
            with pytest.raises(SignerRefusedError, match="uid 0"):
                _ = RemoteSigner(str(place / "sock"), "authority").public_key
        assert {(line["event"], line["uid"]) for line in journal_of(vault)} == {("signed", agent), ("refused", 0)}
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("act", ["_move", "replace", "sync"])
def test_an_interrupted_take_is_finished_by_the_next(
    exq: Exq, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    #
    real = getattr(signing, act)

    def interrupted(*arguments: object) -> object:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, open_home(home) as opened:
        patched.setattr(signing, act, interrupted)
        with pytest.raises(KeyboardInterrupt):
            signing.hand_over(opened, tmp_path / "vault", ROLES, str(tmp_path / "sock"))
    if act != "sync":
        assert exq("run", "--home", home, "--", "true").status == 0
    take = ("signer", "take", tmp_path / "vault", *ROLES, "--socket", tmp_path / "sock", "--home", home)
    assert exq(*take).status == 0
    assert exq(*take).status == 0
    with serving(tmp_path / "vault"):
        assert exq("run", "--home", home, "--", "true").status == 0


def test_keys_that_a_daemon_cannot_hold_stay(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    take = ("--socket", tmp_path / "sock", "--home", home)
    called = exq("signer", "take", tmp_path / "vault", "runtime", *take)
    assert (called.status, (home / "keys" / "runtime.pem").exists()) == (77, True)
    assert "runtime" in called.err
    (tmp_path / "other").mkdir(mode=0o700)
    assert exq("signer", "take", tmp_path / "vault", "owner", *take).status == 0
    assert exq("init", tmp_path / "second").status == 0
    called = exq(
        "signer", "take", tmp_path / "vault", "owner", "--socket", tmp_path / "sock", "--home", tmp_path / "second"
    )
    assert (called.status, "another key" in called.err) == (77, True)
    assert (tmp_path / "second" / "keys" / "owner.pem").exists()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('[keys.runtime]\nkey = "file:keys/other.pem"', "a file of its own half"),
        ('[keys.authorty]\nkey = "file:keys/other.pem"', "keys are named for"),
        ('[keys.authority]\nkey = "keys/other.pem"', "a key is file:PATH"),
        ('[keys.authority]\nkey = "file:keys/a.pem"\npin = "1234"', "pin"),
    ],
)
def test_settings_that_name_keys_wrongly_are_refused(exq: Exq, home: Path, line: str, complaint: str) -> None:
    #
    path = home / "authority.toml"
    path.write_text(f"{path.read_text()}\n{line}\n")
    called = exq("run", "--home", home, "--", "true")
    assert (called.status, complaint in called.err) == (65, True)


def test_settings_come_back_as_they_were_written(home: Path) -> None:
    from exequatur_issuer.signers.reference import Source

    path = home / "authority.toml"
    keys = {"authority": Source("daemon:/run/a#authority"), "owner": Source('file:/a "b".pem', "keys/pin")}
    changed = settings.read(path)._replace(keys=keys)
    settings.write(path, changed)
    assert settings.read(path) == changed


def test_a_key_file_elsewhere_with_a_passphrase_of_its_own(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "secret").write_text("another passphrase\n")
    (elsewhere / "secret").chmod(0o600)
    with open_home(home) as opened:
        opened.copy_key("authority", elsewhere / "a.pem", b"another passphrase")
    (home / "keys" / "authority.pem").unlink()
    path = home / "authority.toml"
    path.write_text(
        f'{path.read_text()}\n[keys.authority]\nkey = "file:{elsewhere}/a.pem"\nsecret_file = "{elsewhere}/secret"\n'
    )
    assert exq("run", "--home", home, "--", "true").status == 0
    (elsewhere / "secret").chmod(0o644)
    called = exq("run", "--home", home, "--", "true")
    assert (called.status, "mode 0644" in called.err) == (77, True)
