"""``exequatur keys``: what a key signed in its time verifies for ever, and nothing after it."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_cli import keys, runtimes
from exequatur_cli.home import now, open_home, unique
from exequatur_cli.keys import CHANGING
from exequatur_cli.settings import text_of
from exequatur_issuer.signer import create_key
from exequatur_log import genesis
from exequatur_log.blocking import check_file
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Kind
from exequatur_verifier.trust import Trust
from exequatur_verifier.trust_file import parse as parse_trust
from tests.cli.conftest import Exq
from tests.cli.test_signer import serving
from tests.issuer import tokens

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

TRUE = ("--", "true")


def trust(home: Path) -> Trust:
    return parse_trust((home / "trust.toml").read_bytes())


def listed(exq: Exq, home: Path, role: str) -> list[dict[str, Any]]:
    return [key for key in exq("keys", "list", "--home", home, "--json").json["keys"] if key["role"] == role]


def size(exq: Exq, home: Path) -> int:
    found: int = exq("keys", "list", "--home", home, "--json").json["size"]
    return found


def sound(exq: Exq, home: Path) -> bool:
    return bool(exq("audit", home, "--json").json["ok"]) and check_file(home / "log.db") == []


@pytest.mark.parametrize("role", CHANGING)
def test_two_rotations_leave_one_key_in_force_and_everything_sound(exq: Exq, home: Path, role: str) -> None:
    #
    before = (home / "keys" / f"{role}.pem").read_bytes()
    for number in (2, 3):
        assert exq("run", "--home", home, *TRUE).status == 0
        said = exq("keys", "rotate", role, "--home", home, "--json")
        assert said.status == 0
        found = listed(exq, home, role)
        assert [key["in_force"] for key in found].count(True) == 1
        assert len(found) == number
        assert next(key["key"] for key in found if key["in_force"]) == said.json["in_force"]
        assert all(key["until"] is not None for key in found if not key["in_force"])
    assert exq("run", "--home", home, *TRUE).status == 0
    assert (home / "keys" / f"{role}.pem").read_bytes() != before
    assert not list((home / "keys").glob("*next*"))
    assert sound(exq, home)


def test_an_artifact_of_before_runs_after_the_authoritys_rotation(exq: Exq, home: Path) -> None:
    #
    text = (home / "trust.toml").read_text()
    (home / "trust.toml").write_text(text.replace("[[issuers]]", "# ours\n[[issuers]]  # the authority"))
    assert exq("authorize", "-o", "early.exq", "--home", home, *TRUE).status == 0
    former = trust(home).issuers[0]
    assert exq("keys", "rotate", "authority", "--home", home).status == 0
    assert exq("authorize", "-o", "late.exq", "--home", home, *TRUE).status == 0
    old, new = trust(home).issuers
    assert (old.keys, old.since) == (former.keys, 0)
    assert old.until is not None
    assert new.since < old.until <= size(exq, home)
    for bundle in ("early.exq", "late.exq"):
        assert exq("run", "--bundle", bundle, "--home", home, *TRUE).status == 0
    assert "# ours\n[[issuers]]  # the authority" in (home / "trust.toml").read_text()


def test_a_key_signs_nothing_after_its_range(exq: Exq, home: Path) -> None:
    #
    with open_home(home) as opened:
        opened.copy_key("requester", home / "keys" / "old.pem", (home / "keys" / "passphrase").read_bytes().strip())
    assert exq("keys", "rotate", "requester", "--home", home).status == 0
    (home / "keys" / "old.pem").replace(home / "keys" / "requester.pem")
    refused = exq("run", "--home", home, *TRUE)
    assert (refused.status, "KEY_OUT_OF_RANGE" in refused.err) == (77, True)


def test_a_record_that_comes_meanwhile_is_within_the_range(
    exq: Exq, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the end of a range is beyond everything that the key has signed
    real = keys._register
    late: list[int] = []

    def racing(opened: Any, key: Any, like: Any) -> int:
        if like.until is not None and not late:
            late.append(-1)
            assert exq("authorize", "-o", tmp_path / "late.exq", "--home", home, *TRUE).status == 0
            late[0] = opened.log.head().size
        return real(opened, key, like)

    with monkeypatch.context() as patched, open_home(home) as opened:
        patched.setattr(keys, "_register", racing)
        keys.rotate(opened, "authority", None, Algorithm.ES256)
    assert trust(home).issuers[0].until == late[0]
    assert exq("run", "--bundle", tmp_path / "late.exq", "--home", home, *TRUE).status == 0


@pytest.mark.parametrize("role", ["authority", "runtime"])
@pytest.mark.parametrize("act", ["_register", "_end", "_follow", "begin_anew", "sync"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_rotation_is_finished_by_the_next(
    exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch, role: str, act: str, after: bool
) -> None:
    #
    place = runtimes if act == "begin_anew" else keys
    real = getattr(place, act)

    def interrupted(*arguments: object) -> None:
        if after:
            real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, open_home(home) as opened:
        patched.setattr(place, act, interrupted)
        if act == "begin_anew" and role != "runtime":
            keys.rotate(opened, role, None, Algorithm.ES256)
        else:
            with pytest.raises(KeyboardInterrupt):
                keys.rotate(opened, role, None, Algorithm.ES256)
    assert exq("keys", "rotate", role, "--home", home).status == 0
    found = listed(exq, home, role)
    assert [key["in_force"] for key in found].count(True) == 1
    assert exq("run", "--home", home, *TRUE).status == 0
    assert sound(exq, home)


def test_a_retired_role_signs_nothing_until_it_has_a_key_again(exq: Exq, home: Path) -> None:
    #
    assert exq("authorize", "-o", "early.exq", "--home", home, *TRUE).status == 0
    assert exq("keys", "retire", "authority", "--home", home).status == 0
    assert not (home / "keys" / "authority.pem").exists()
    refused = exq("run", "--home", home, *TRUE)
    assert (refused.status, "exequatur keys list" in refused.err) == (77, True)
    for act in ("retire", "rotate", "revoke"):
        again = exq("keys", act, "authority", "--home", home)
        assert (again.status, "ended at" in again.err, "keys enrol authority" in again.err) == (77, True, True)
    assert exq("run", "--bundle", "early.exq", "--home", home, *TRUE).status == 0
    assert exq("keys", "enrol", "authority", "--home", home).status == 0
    assert exq("run", "--home", home, *TRUE).status == 0
    again = exq("keys", "enrol", "authority", "--home", home)
    assert (again.status, "keys rotate authority" in again.err) == (77, True)
    assert not list((home / "keys").glob("*next*"))
    assert sound(exq, home)


def test_what_a_revoked_key_signed_from_there_on_is_denied(exq: Exq, home: Path) -> None:
    #
    assert exq("authorize", "-o", "before.exq", "--home", home, *TRUE).status == 0
    stolen = size(exq, home)
    assert exq("authorize", "-o", "after.exq", "--home", home, *TRUE).status == 0
    called = exq("keys", "revoke", "authority", "--at", stolen, "--home", home)
    assert called.status == 0
    assert "exequatur revoke --key" in called.out
    assert trust(home).issuers[0].until == stolen
    denied = exq("run", "--bundle", "after.exq", "--home", home, "--json", *TRUE)
    assert (denied.status, denied.reported["code"]) == (77, "ISSUER_UNTRUSTED")
    assert exq("run", "--bundle", "before.exq", "--home", home, *TRUE).status == 0
    assert exq("keys", "enrol", "authority", "--home", home).status == 0
    assert exq("run", "--home", home, *TRUE).status == 0


def test_a_former_key_is_revoked_by_its_thumbprint_and_the_present_one_stays(exq: Exq, home: Path) -> None:
    #
    assert exq("run", "--home", home, *TRUE).status == 0
    assert exq("keys", "rotate", "authority", "--home", home).status == 0
    (old,) = (key for key in listed(exq, home, "authority") if not key["in_force"])
    (new,) = (key for key in listed(exq, home, "authority") if key["in_force"])
    said = exq("keys", "revoke", "authority", "--key-id", old["key"][:12], "--at", 7, "--home", home, "--json")
    assert (said.json["revoked"], said.json["in_force"]) == ([old["key"]], new["key"])
    assert trust(home).issuers[0].until == 7
    # What it said of revocation from there on is void as well, so the new key says it again.
    denied = exq("run", "--home", home, "--json", *TRUE)
    assert (denied.status, denied.reported["code"]) == (77, "STATUS_STALE")
    assert exq("revoke", "--key", old["key"], "--reason", "stolen", "--home", home).status == 0
    assert exq("run", "--home", home, *TRUE).status == 0
    for key_id, at, complaint in (
        (old["key"], 9, "from 0 to 7"),
        (new["key"], 8, f"from {new['since']} to"),
        (new["key"], 10_000, f"from {new['since']} to"),
        ("ffffffffffff", 7, "0 keys of authority begin with"),
    ):
        called = exq("keys", "revoke", "authority", "--key-id", key_id, "--at", at, "--home", home)
        assert (called.status, complaint in called.err) == (77, True)


def test_an_owners_policies_outlive_its_rotation_and_not_its_revocation(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    assert exq("keys", "rotate", "owner", "--home", home).status == 0
    assert len(trust(home).policy.owners) == 2
    # A runtime that is enrolled later needs the former owner, whose policy is in force.
    assert exq("enrol", "build", tmp_path / "build", "--home", home).status == 0
    assert set(trust(tmp_path / "build").policy.owners) == set(trust(home).policy.owners)
    assert exq("run", "--home", home, *TRUE).status == 0
    (old,) = (key for key in listed(exq, home, "owner") if not key["in_force"])
    called = exq("keys", "revoke", "owner", "--key-id", old["key"], "--at", old["since"], "--home", home)
    assert (called.status, "publish them again" in called.out) == (0, True)
    assert len(trust(home).policy.owners) == 1
    denied = exq("run", "--home", home, *TRUE)
    assert (denied.status, "signed by enough owners" in denied.err) == (77, True)
    assert exq("policy", "publish", "--home", home).status == 0
    assert exq("run", "--home", home, *TRUE).status == 0


def test_an_approver_is_enrolled_for_approvals_and_trusted_with_its_range(exq: Exq, home: Path) -> None:
    #
    assert exq("keys", "retire", "approver", "--home", home).status == 0
    called = exq("keys", "rotate", "approver", "--home", home)
    assert (called.status, "keys enrol approver" in called.err) == (77, True)
    assert exq("keys", "enrol", "approver", "--algorithm", "ed25519", "--home", home).status == 0
    former, approver = trust(home).approvers
    (key,) = (key for key in listed(exq, home, "approver") if key["in_force"])
    assert (key["kinds"], key["since"], approver.since) == (["approval"], approver.since, key["since"])
    assert approver.keys[0].algorithm is Algorithm.ED25519
    assert former.until is not None
    assert exq("keys", "rotate", "approver", "--home", home).status == 0
    assert [one.until is None for one in trust(home).approvers] == [False, False, True]


def test_a_runtimes_new_key_begins_a_memory_and_keeps_the_former(exq: Exq, home: Path) -> None:
    #
    assert exq("authorize", "-o", "early.exq", "--home", home, *TRUE).status == 0
    former = trust(home).runtime
    assert exq("keys", "rotate", "runtime", "--home", home).status == 0
    assert trust(home).runtime.id == former.id
    assert trust(home).runtime.key != former.key
    assert sorted(path.name for path in home.glob("state*.db")) == ["state.1.db", "state.db"]
    denied = exq("run", "--bundle", "early.exq", "--home", home, "--json", *TRUE)
    assert (denied.status, denied.reported["code"]) == (77, "RUNTIME_MISMATCH")
    assert exq("run", "--home", home, *TRUE).status == 0


def test_a_runtime_with_work_in_hand_keeps_its_key(exq: Exq, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    #
    real = runtimes.check_at_rest
    assert exq("run", "--home", home, *TRUE).status == 0
    with open_home(home) as opened, opened.gate() as gate:
        with gate.state.transaction() as transaction:
            transaction.execute(
                "INSERT INTO reservations (verification, subject, boot, pid, start) VALUES (x'00', 'x', 'x', 1, 1)"
            )
        (number,) = _numbers(gate)
        from exequatur_gate.reservations import lock

        held = lock(gate.state, number)
        assert held is not None
        with pytest.raises(runtimes.BusyError, match="1 executions run"):
            real(opened)
        held.close()
    assert (home / "keys" / "runtime.pem").exists()


def _numbers(gate: Any) -> list[int]:
    with gate.state.transaction() as transaction:
        return [number for (number,) in transaction.execute("SELECT number FROM reservations")]


@pytest.mark.parametrize("role", ["authority", "requester"])
def test_keys_are_separate_by_role_and_used_once(exq: Exq, home: Path, role: str) -> None:
    #
    for other in {"authority", "requester", "owner", "approver"} - {role}:
        called = exq("keys", "rotate", role, "--key", f"file:keys/{other}.pem", "--home", home)
        assert (called.status, "is enrolled already" in called.err) == (77, True)
    called = exq("keys", "rotate", role, "--key", f"file:keys/{role}.pem", "--home", home)
    assert (called.status, "leave --key out" in called.err) == (77, True)
    assert (home / "keys" / f"{role}.pem").exists()
    assert sorted(one["in_force"] for one in listed(exq, home, role)) == [True]


def test_a_key_that_is_enrolled_with_another_algorithm_is_refused(exq: Exq, home: Path) -> None:
    #
    passphrase = (home / "keys" / "passphrase").read_bytes().strip()
    other = create_key(home / "keys" / "other.pem", passphrase, Algorithm.ESP256).public_key
    with open_home(home) as opened:
        iss = opened.settings.requester.iss
        opened.log.register(
            genesis.sign_enrolment(
                opened.signer("operator"),
                other,
                iss=iss,
                enroller=opened.log.identity.iss,
                kinds=(Kind.REQUEST,),
                until=3,
                now=now(),
                unique=unique(),
            )
        )
    called = exq("keys", "rotate", "requester", "--key", "file:keys/other.pem", "--home", home)
    assert (called.status, "as ESP256, up to 3" in called.err) == (77, True)


def test_roles_options_and_references_that_are_none(exq: Exq, home: Path) -> None:
    for arguments in (
        ("rotate", "operator"),
        ("rotate", "authority", "--key", "keys/a.pem"),
        ("rotate", "authority", "--secret-file", "x"),
        ("rotate", "authority", "--algorithm", "rsa"),
        ("revoke", "authority", "--at", "-1"),
    ):
        assert exq("keys", *arguments, "--home", home).status == 2
    called = exq("keys", "rotate", "runtime", "--key", "file:keys/owner.pem", "--home", home)
    assert (called.status, "leave --key out" in called.err) == (77, True)


@pytest.mark.parametrize("line", ['keys = ["{}", "{}"]', 'keys = ["{}"]  # "{}"'])
def test_trust_that_is_written_otherwise_is_changed_right_or_not_at_all(exq: Exq, home: Path, line: str) -> None:
    #
    path = home / "trust.toml"
    key = text_of(trust(home).issuers[0].keys[0])
    other = text_of(trust(home).policy.owners[0])
    path.write_text(path.read_text().replace(f'keys = ["{key}"]', line.format(key, other)))
    before = path.read_bytes()
    called = exq("keys", "rotate", "authority", "--home", home)
    if "#" in line:
        assert called.status == 0
        assert trust(home).issuers[0].until is not None
    else:
        assert (called.status, "could not be changed by itself" in called.err) == (77, True)
        assert path.read_bytes() == before


def test_a_range_that_its_owner_has_narrowed_stays(exq: Exq, home: Path) -> None:
    #
    path = home / "trust.toml"
    key = text_of(trust(home).issuers[0].keys[0])
    path.write_text(path.read_text().replace(f'keys = ["{key}"]', f'keys = ["{key}"]\nuntil = 7'))
    assert exq("keys", "rotate", "authority", "--home", home).status == 0
    assert [one.until for one in trust(home).issuers] == [7, None]


def test_a_key_in_a_token_takes_over_from_a_file(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    (tmp_path / "softhsm").mkdir()
    tokens.prepare(tmp_path / "softhsm")
    token = tokens.create(tmp_path / "softhsm", "home")
    tokens.generate(token, "authority")
    pin = home / "keys" / "pin"
    pin.write_text(tokens.PIN)
    pin.chmod(0o600)
    rotate = ("keys", "rotate", "authority", "--key", token.uri("authority"), "--home", home)
    assert (
        exq("keys", "rotate", "authority", "--key", token.uri("other"), "--secret-file", pin, "--home", home).status
        == 77
    )
    assert exq(*rotate, "--secret-file", pin).status == 0
    assert not (home / "keys" / "authority.pem").exists()
    assert exq("run", "--home", home, *TRUE).status == 0
    called = exq("keys", "rotate", "authority", "--home", home)
    assert (called.status, "name it with --key" in called.err) == (77, True)
    called = exq(*rotate, "--secret-file", pin)
    assert (called.status, "has a key in force" in called.err or "is the key in force" in called.err) == (77, True)
    assert sound(exq, home)


def test_a_daemon_holds_a_key_of_a_token(exq: Exq, home: Path, tmp_path: Path) -> None:
    #
    (tmp_path / "softhsm").mkdir()
    tokens.prepare(tmp_path / "softhsm")
    token = tokens.create(tmp_path / "softhsm", "daemon")
    tokens.generate(token, "authority")
    vault = tmp_path / "vault"
    assert exq("signer", "take", vault, "operator", "--socket", tmp_path / "sock", "--home", home).status == 0
    (vault / "keys" / "pin").write_text(tokens.PIN)
    (vault / "keys" / "pin").chmod(0o600)
    with (vault / "signer.toml").open("a") as file:
        file.write(f'[keys.issuing]\nkey = "{token.uri("authority")}"\nrole = "authority"\nsecret_file = "keys/pin"\n')
    with serving(vault):
        assert (
            exq("keys", "rotate", "authority", "--key", f"daemon:{tmp_path}/sock#issuing", "--home", home).status == 0
        )
        assert exq("run", "--home", home, *TRUE).status == 0
        assert sound(exq, home)
    assert exq("run", "--home", home, *TRUE).status == 69
