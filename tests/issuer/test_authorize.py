"""The authority end to end: what is issued, what is refused and logged, and that one request has one answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exequatur_issuer.artifact import DEFAULT_TTL, DEFAULT_USES
from exequatur_issuer.authorize import Asked, Issued, Refused, RuntimeIdentity
from exequatur_issuer.content import ContentMissingError
from exequatur_issuer.journal import Journal, JournalError
from exequatur_issuer.log import LogUnavailableError, Refusal
from exequatur_verifier import action, bundle, constraints, statement
from exequatur_verifier.constraints import Facts
from exequatur_verifier.errors import NotProvenError
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Authorization, Decision, Kind, Link
from exequatur_verifier.signing import LocalSigner
from exequatur_verifier.verdict import Code
from tests.issuer.house import FACTS, NOW, RUNTIME, House, with_rules
from tests.issuer.ledger import AUTHORITY, MemoryLog
from tests.support import world

SHRED = {**world.COMMAND, "name": b"/usr/bin/shred"}
OTHER = RuntimeIdentity("urn:exequatur:runtime:other", world.signer("other").public_key.encoded)


def under(tmp_path: Path, rules: str, **more: Any) -> House:
    return House(tmp_path, MemoryLog(), with_rules(rules), **more)


def kinds(house: House, asked: Asked) -> list[Kind]:
    return [item.kind for item in house.logged(statement.parse(asked.request).claims.sub)]


def artifact_of(issued: Issued) -> statement.Statement:
    return statement.parse_transparent(bundle.decode(issued.bundle).artifact)[0]


def memory_log(house: House) -> MemoryLog:
    assert isinstance(house.log, MemoryLog)
    return house.log


# What is issued.


def test_an_allowed_request_becomes_a_bundle_that_the_kernel_would_admit(house: House) -> None:
    # A-01 A-02
    asked = house.asked()
    issued = house.issue(asked)
    verdict = house.verify(issued.bundle)
    assert verdict.code is None, verdict.failure
    assert verdict.statement is not None
    assert verdict.statement.id == issued.authorization
    assert kinds(house, asked) == [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION]


def test_the_same_on_the_products_own_log(real_house: House) -> None:
    asked = real_house.asked()
    issued = real_house.issue(asked)
    assert real_house.verify(issued.bundle).code is None
    assert kinds(real_house, asked) == [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION]
    assert real_house.issue(asked) == issued
    refused = real_house.refuse(real_house.asked(SHRED))
    assert (refused.code, refused.decision is not None) == ("POLICY_FORBID", True)


def test_the_artifact_says_what_was_decided_for_whom_and_for_how_long(house: House) -> None:
    asked = house.asked()
    issued = house.issue(asked)
    artifact = artifact_of(issued)
    record, claims = artifact.record, artifact.claims
    assert isinstance(record, Authorization)
    assert record.links == (
        Link("request", statement.parse(asked.request).id),
        Link("decision", issued.decision),
        Link("policy", house.policy.statement.id),
    )
    assert (record.form, record.mode, record.uses) == ("action", "enforce", 1)
    assert (record.epoch.set, record.epoch.number) == (house.policy.record.set, 1)
    assert (claims.iss, claims.aud, claims.cnf) == (AUTHORITY, RUNTIME.id, RUNTIME.key)
    assert (claims.iat, claims.nbf, claims.exp) == (NOW, NOW, NOW + 300)
    assert (issued.expires, issued.uses, issued.subject) == (NOW + 300, 1, claims.sub)


def test_terms_are_the_facts_and_what_policy_obliges_to(tmp_path: Path) -> None:
    house = under(tmp_path, '@limit_wall("30s") @require("pidfd") permit (principal, action, resource);')
    issued = house.issue(house.asked())
    terms = constraints.decode_terms(bundle.decode(issued.bundle).terms)
    assert terms.facts == FACTS
    assert (terms.constraints.limits.wall_ms, terms.constraints.sandbox.require) == (30_000, ("pidfd",))
    assert house.verify(issued.bundle).code is None
    other = Facts({**world.FACTS.measured, "executable": bytes(32)}, world.FACTS.enforcement)
    assert house.verify(issued.bundle, facts=other).code is Code.FACT_MISMATCH
    weaker = Facts(world.FACTS.measured, world.FACTS.enforcement - {"pidfd"})
    assert house.verify(issued.bundle, facts=weaker).code is Code.ENFORCEMENT_UNAVAILABLE


def test_preimages_are_stored_under_the_commitments(house: House) -> None:
    #
    asked = house.asked()
    record = artifact_of(house.issue(asked)).record
    assert isinstance(record, Authorization)
    assert house.content.get(record.action.commitment) == action.preimage(
        action.ACTION_TAG, asked.salt, action.encode(world.COMMAND)
    )
    terms = house.content.get(record.terms)[len(action.TERMS_TAG) + action.SALT_SIZE :]
    assert constraints.decode_terms(terms).facts == FACTS


@pytest.mark.parametrize(
    ("rules", "request_scope", "caller_scope", "granted"),
    [
        ("", {}, {}, (DEFAULT_TTL, DEFAULT_USES)),
        ('@ttl("1h") @uses("9")', {}, {}, (3600, 9)),
        ('@ttl("1h") @uses("9")', {"ttl": 60, "uses": 3}, {}, (60, 3)),
        ('@ttl("1h") @uses("9")', {}, {"ttl": 60, "uses": 3}, (60, 3)),
        ('@ttl("1h") @uses("9")', {"ttl": 60, "uses": 2}, {"ttl": 30, "uses": 3}, (30, 2)),
        ('@ttl("10s") @uses("1")', {"ttl": 600, "uses": 5}, {"ttl": 600, "uses": 5}, (10, 1)),
        ("", {}, {"ttl": 86_400, "uses": 100}, (DEFAULT_TTL, DEFAULT_USES)),
    ],
)
def test_requester_and_caller_only_narrow(
    tmp_path: Path,
    rules: str,
    request_scope: dict[str, Any],
    caller_scope: dict[str, Any],
    granted: tuple[int, int],
) -> None:
    #
    house = under(tmp_path, f"{rules} permit (principal, action, resource);")
    issued = house.issue(house.asked(**request_scope)._replace(**caller_scope))
    assert (issued.expires - NOW, issued.uses) == granted


def test_a_type_of_action_that_has_no_mapping_is_denied(house: House) -> None:
    refused = house.refuse(house.asked({"type": "http.request", "name": "GET", "resource": "urn:x", "args": {}}, {}))
    assert (refused.code, refused.explanation) == ("POLICY_ERROR", ("no mapping for actions of type 'http.request'",))


# What is refused, and that it is logged.


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ('@id("no") @doc("Never.") forbid (principal, action, resource);', "POLICY_FORBID"),
        ('permit (principal, action, resource == Executable::"/bin/ls");', "POLICY_DEFAULT_DENY"),
        ("permit (principal, action, resource) when { context.uid + 9223372036854775807 > 0 };", "POLICY_ERROR"),
    ],
)
def test_a_denial_is_logged_and_nothing_follows_it(tmp_path: Path, rules: str, code: str) -> None:
    #
    house = under(tmp_path, rules)
    asked = house.asked()
    refused = house.refuse(asked)
    assert refused.code == code
    assert kinds(house, asked) == [Kind.REQUEST, Kind.DECISION]
    assert refused.decision is not None
    logged = house.find(refused.decision)
    assert logged is not None
    record = statement.parse(logged).record
    assert isinstance(record, Decision)
    assert (record.outcome, record.code) == ("deny", code)


def test_a_denial_says_which_policy_and_why(house: House) -> None:
    refused = house.refuse(house.asked(SHRED))
    assert refused.explanation == (
        "forbid forbid-shred: What shred overwrites cannot be brought back, so it is never run from here.",
    )


def test_what_needs_approval_is_logged_and_waits(tmp_path: Path) -> None:
    #
    house = under(tmp_path, '@require_approval("1") permit (principal, action, resource);')
    asked = house.asked()
    refused = house.refuse(asked)
    assert (refused.code, refused.approvals) == ("APPROVAL_MISSING", 1)
    assert refused.request == statement.parse(asked.request).id
    assert kinds(house, asked) == [Kind.REQUEST, Kind.DECISION]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda asked: asked._replace(descriptor={**world.COMMAND, "args": [b"git", b"push"]}), "ACTION_MISMATCH"),
        (lambda asked: asked._replace(salt=bytes(16)), "ACTION_MISMATCH"),
        (lambda asked: asked._replace(descriptor={"type": "process.exec"}), "MALFORMED"),
        (lambda asked: asked._replace(request=asked.request[:-1]), "MALFORMED"),
        (lambda asked: asked._replace(request=world.policy_statement()), "MALFORMED"),
        (lambda asked: asked._replace(runtime=OTHER), "AUDIENCE_MISMATCH"),
        (lambda asked: asked._replace(runtime=RUNTIME._replace(key=b"\xa0")), "UNSUPPORTED"),
        (lambda asked: asked._replace(runtime=RUNTIME._replace(key=b"")), "MALFORMED"),
        (lambda asked: asked._replace(facts={"executable": b"short"}), "MALFORMED"),
        (lambda asked: asked._replace(facts={"moon": "full"}), "MALFORMED"),
        (lambda asked: asked._replace(facts={"host": "\ud800"}), "MALFORMED"),
        (lambda asked: asked._replace(ttl=0), "MALFORMED"),
        (lambda asked: asked._replace(uses=0), "MALFORMED"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_nothing_is_logged(
    house: House, change: Callable[[Asked], Asked], code: str
) -> None:
    #
    asked, size = house.asked(), len(memory_log(house).tree.entries)
    refused = house.refuse(change(asked))
    assert (refused.code, refused.decision) == (code, None)
    assert len(memory_log(house).tree.entries) == size
    assert isinstance(house.answer(asked), Issued)


def test_a_request_for_nothing_is_refused(house: House) -> None:
    assert house.refuse(house.asked(uses=0)).code == "MALFORMED"
    assert house.refuse(house.asked(ttl=0)).code == "MALFORMED"


def test_a_request_under_a_grant_that_is_not_there_is_refused(house: House) -> None:
    #
    asked, size = house.asked(), len(memory_log(house).tree.entries)
    parsed = statement.parse(asked.request)
    delegated = parsed.record._replace(links=(Link("parent", bytes(32)),))
    request = statement.sign(delegated, parsed.claims, world.signer("requester"))
    refused = house.refuse(asked._replace(request=request))
    assert (refused.code, "not in this log" in refused.detail) == ("DELEGATION_INVALID", True)
    assert len(memory_log(house).tree.entries) == size


def test_a_request_by_an_unknown_key_gets_no_decision(real_house: House) -> None:
    #
    asked = real_house.asked()
    parsed = statement.parse(asked.request)
    stranger = statement.sign(parsed.record, parsed.claims, world.signer("stranger"))
    refused = real_house.refuse(asked._replace(request=stranger))
    assert (refused.code, refused.decision) == ("UNKNOWN_KEY", None)
    assert real_house.journal.find(statement.parse(stranger).id) is None
    assert isinstance(real_house.answer(asked), Issued)


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION])
def test_what_the_log_refuses_is_refused_with_its_code(house: House, kind: Kind) -> None:
    memory_log(house).refuse[kind] = Refusal("SKEW", "issued too long ago")
    refused = house.refuse(house.asked())
    assert refused.code == "SKEW"
    assert f"does not register the {kind.value}" in refused.detail


def test_a_policy_that_is_not_in_force_yet_decides_nothing(house: House) -> None:
    with pytest.raises(ValueError, match="not in force"):
        house.answer(house.asked(), now=NOW - 1)


# One request, one answer.


def test_asking_again_gives_the_same_bundle_at_any_later_time(house: House) -> None:
    #
    asked = house.asked()
    issued = house.issue(asked)
    size = len(memory_log(house).tree.entries)
    assert house.issue(asked, now=NOW + 100) == issued
    assert house.open().authorize_many([asked, asked], now=NOW + 100) == [issued, issued]
    assert len(memory_log(house).tree.entries) == size


def test_the_convenient_call_is_the_same_call(house: House) -> None:
    asked = house.asked()
    single = house.authority.authorize(
        asked.request, asked.salt, asked.descriptor, asked.facts, runtime=asked.runtime, now=NOW
    )
    assert single == house.issue(asked)


def test_a_denial_stands_too_and_is_explained_again(house: House) -> None:
    asked = house.asked(SHRED)
    assert house.refuse(asked) == house.refuse(asked, now=NOW + 100)


def test_a_denial_under_an_earlier_policy_is_explained_by_its_ids(house: House) -> None:
    asked = house.asked(SHRED)
    before = house.refuse(asked)
    later = house.publish(with_rules("permit (principal, action, resource);"))
    [again] = house.open(policy=later).authorize_many([asked], now=NOW)
    assert isinstance(again, Refused)
    assert (again.code, again.decision, again.explanation) == (before.code, before.decision, ("policy forbid-shred",))


def test_an_artifact_of_an_earlier_policy_comes_with_that_policy(house: House) -> None:
    asked = house.asked()
    issued = house.issue(asked)
    later = house.publish(with_rules("forbid (principal, action, resource);"))
    assert house.open(policy=later).authorize_many([asked], now=NOW) == [issued]
    assert house.verify(issued.bundle).code is None


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: asked._replace(facts={**asked.facts, "executable": bytes(32)}),
        lambda asked: asked._replace(facts={}),
        lambda asked: asked._replace(ttl=299),
        lambda asked: asked._replace(runtime=asked.runtime._replace(key=OTHER.key)),
    ],
)
def test_asking_again_for_something_else_is_a_conflict(house: House, change: Callable[[Asked], Asked]) -> None:
    #
    asked = house.asked()
    house.issue(asked)
    assert house.refuse(change(asked)).code == "CONFLICT"
    assert isinstance(house.answer(asked._replace(ttl=300, uses=1)), Issued)


def test_asking_again_after_the_artifact_expired_is_refused(house: House) -> None:
    asked = house.asked()
    house.issue(asked)
    assert isinstance(house.answer(asked, now=NOW + 299), Issued)
    assert house.refuse(asked, now=NOW + 300).code == "EXPIRED"


def test_another_process_that_answers_first_is_the_one_that_answers(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    #
    asked = house.asked()
    first = house.open().authorize_many([asked], now=NOW)[0]
    # This process looked before the other one had kept its answer.
    find, looked = Journal.find, list[bytes]()

    def too_early(journal: Journal, request: bytes) -> Any:
        looked.append(request)
        return None if len(looked) == 1 else find(journal, request)

    monkeypatch.setattr(Journal, "find", too_early)
    assert house.answer(asked, now=NOW + 7) == first
    assert kinds(house, asked) == [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION]


# When something fails on the way.


def test_nothing_is_signed_while_the_log_is_away(house: House) -> None:
    asked = house.asked()
    memory_log(house).answers = 0

    class Watched(LocalSigner):
        signed = 0

        def sign(self, message: bytes) -> bytes:
            Watched.signed += 1
            return super().sign(message)

    signer = Watched(world.signer("authority")._key, Algorithm.ES256)
    with pytest.raises(LogUnavailableError):
        house.open(signer).authorize_many([asked], now=NOW)
    assert Watched.signed == 0
    memory_log(house).answers = None
    assert isinstance(house.open(signer).authorize_many([asked], now=NOW)[0], Issued)
    assert Watched.signed == 2


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("batches", [0, 1])
def test_after_a_lost_answer_the_same_bytes_are_sent(house: House, batches: int, committed: bool) -> None:
    # A-25 B-11
    log, asked = memory_log(house), house.asked()
    log.sent.clear()
    log.answers, log.loses_answer = batches, committed
    with pytest.raises(LogUnavailableError):
        house.answer(asked)
    kept = house.journal.find(statement.parse(asked.request).id)
    log.answers = None
    issued = house.open().authorize_many([asked], now=NOW + 30)[0]
    assert isinstance(issued, Issued)
    assert kinds(house, asked) == [Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION]
    if batches == 1:
        # What had been signed before is what stands, at the time of then.
        assert kept is not None
        assert log.sent[-1] == [kept.decision, kept.artifact]
        assert issued.expires == NOW + 300
    assert house.verify(issued.bundle, now=NOW + 30).code is None


@pytest.mark.parametrize("stage", ["contents", "journal"])
def test_a_crash_before_anything_is_kept_leaves_nothing_to_stand_by(
    house: House, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    # A-26 B-11
    asked = house.asked()

    def crash(*_: object) -> None:
        raise JournalError("the disk is full")

    with monkeypatch.context() as broken:
        if stage == "contents":
            broken.setattr("exequatur_issuer.content.ContentStore.put_many", crash)
        else:
            broken.setattr("exequatur_issuer.journal.Journal.keep", crash)
        with pytest.raises(JournalError):
            house.answer(asked)
    assert kinds(house, asked) == [Kind.REQUEST]
    issued = house.issue(asked, now=NOW + 30)
    assert issued.expires == NOW + 330


def test_a_record_that_stands_under_other_signature_bytes_is_used_as_it_stands(house: House) -> None:
    # A-28 L-06
    # ES256 signatures of others are random, and this authority has lost its journal.
    asked = house.asked()
    issued = house.issue(asked)
    (house.folder / "journal.db").unlink()
    log = memory_log(house)
    for kind in (Kind.REQUEST, Kind.DECISION, Kind.AUTHORIZATION):
        index = next(
            index for index in log.ids.values() if index > 2 and statement.parse(log.entry(index)).kind is kind
        )
        log.tree.entries[index] = high_s(log.entry(index))
    log.frozen.clear()
    again = house.open().authorize_many([asked], now=NOW)[0]
    assert isinstance(again, Issued)
    assert (again.decision, again.authorization) == (issued.decision, issued.authorization)
    assert artifact_of(again).entry == high_s(artifact_of(issued).entry)
    assert house.verify(again.bundle).code is None


def test_a_record_of_ours_that_stands_with_a_bad_signature_is_not_used(house: House) -> None:
    #
    asked = house.asked()
    house.issue(asked)
    (house.folder / "journal.db").unlink()
    log = memory_log(house)
    index = max(log.ids.values()) - 1
    entry = log.entry(index)
    log.tree.entries[index] = entry[:-1] + bytes([entry[-1] ^ 1])
    with pytest.raises(NotProvenError):
        house.open().authorize_many([asked], now=NOW)


def test_a_log_that_refuses_the_bytes_it_holds_is_not_believed(house: House) -> None:
    #
    asked = house.asked()
    house.issue(asked)
    (house.folder / "journal.db").unlink()
    log = memory_log(house)
    index = max(log.ids.values())
    log.tree.entries[index] = high_s(log.entry(index))
    log.contrary = True
    with pytest.raises(NotProvenError, match="very bytes"):
        house.open().authorize_many([asked], now=NOW)


def test_a_log_that_names_another_record_is_not_believed(house: House) -> None:
    #
    asked = house.asked()
    house.issue(asked)
    log = memory_log(house)
    log.ids[statement.parse(asked.request).id] -= 1
    with pytest.raises(NotProvenError, match="is not the record"):
        house.answer(asked)


def test_terms_that_were_erased_are_named_when_the_request_comes_again(house: House) -> None:
    asked = house.asked()
    record = artifact_of(house.issue(asked)).record
    assert isinstance(record, Authorization)
    house.content.drop(record.terms)
    with pytest.raises(ContentMissingError) as caught:
        house.answer(asked)
    assert caught.value.digest == record.terms


# Many at once.


def test_a_batch_is_answered_in_order_with_two_registrations(house: House) -> None:
    broken = house.asked()._replace(salt=bytes(16))
    batch = [house.asked(), house.asked(SHRED), broken, house.asked()]
    log = memory_log(house)
    log.sent.clear()
    answers = house.authority.authorize_many([*batch, batch[0]], now=NOW)
    codes = [answer.code if isinstance(answer, Refused) else None for answer in answers]
    assert codes == [None, "POLICY_FORBID", "ACTION_MISMATCH", None, None]
    assert answers[0] == answers[4]
    assert [len(sent) for sent in log.sent] == [3, 5]
    for answer in answers:
        if isinstance(answer, Issued):
            assert house.verify(answer.bundle).code is None


def test_one_that_the_log_refuses_does_not_stop_the_others(real_house: House) -> None:
    late = real_house.asked(now=NOW - 10_000)
    answers = real_house.authority.authorize_many([real_house.asked(), late, real_house.asked()], now=NOW)
    assert [isinstance(answer, Issued) for answer in answers] == [True, False, True]
    assert isinstance(answers[1], Refused)
    assert answers[1].code == "SKEW"


def test_nothing_asked_is_nothing_sent(house: House) -> None:
    memory_log(house).sent.clear()
    assert house.authority.authorize_many([], now=NOW) == []
    assert memory_log(house).sent == []


def high_s(entry: bytes) -> bytes:
    """Return the statement with the other valid signature of the same record."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    s = int.from_bytes(entry[-32:], "big")
    return entry[:-32] + (order - s).to_bytes(32, "big")
