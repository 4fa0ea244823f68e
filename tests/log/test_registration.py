"""Each rule of registration: what it admits, and what it refuses once exactly one thing is changed."""

from pathlib import Path
from typing import Any

import pytest

from exequatur_log.blocking import BlockingLog
from exequatur_log.entry import Registered
from exequatur_log.errors import Code, Refused
from exequatur_log.genesis import sign_registration
from exequatur_verifier import statement
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.records import Action, Kind, Link, Registration
from exequatur_verifier.signing import LocalSigner
from tests.log import scene
from tests.log.scene import AUTHORITY, KEYS, NOW, OPERATOR, OWNER, REQUESTER, RUNTIME, Case, refused
from tests.support.world import signer

STRANGER = signer("scene stranger")


@pytest.fixture
def log(shared: tuple[BlockingLog, bytes]) -> BlockingLog:
    return shared[0]


@pytest.fixture
def case(shared: tuple[BlockingLog, bytes]) -> Case:
    return Case(shared[1])


def test_a_whole_case_is_admitted(log: BlockingLog, case: Case) -> None:
    # L-07 L-08 R-07
    assert all(isinstance(answer, Registered) for answer in log.register_many([*case]))


def test_a_case_is_admitted_record_by_record(log: BlockingLog, case: Case) -> None:
    indices = [log.register(entry).leaf_index for entry in case]
    assert indices == list(range(indices[0], indices[0] + 5))


@pytest.mark.parametrize("data", [b"", b"\xd2", b"\xd2\x84", b"\x00" * 100, bytes(70_000)])
def test_what_is_no_statement_is_malformed(log: BlockingLog, data: bytes) -> None:
    # C-08
    assert refused(log, data) is Code.MALFORMED


def test_a_trailing_byte_is_malformed(log: BlockingLog) -> None:
    assert refused(log, scene.request() + b"\x00") is Code.MALFORMED


def test_receipts_in_the_unprotected_header_are_malformed(log: BlockingLog) -> None:
    # C-05
    assert refused(log, statement.attach(scene.request(), (b"receipt",))) is Code.MALFORMED


def test_an_unknown_version_is_unsupported(log: BlockingLog) -> None:
    entry = scene.request()
    assert refused(log, entry.replace(b"\x61v\x01", b"\x61v\x02")) is Code.UNSUPPORTED


def test_a_flipped_signature_bit_is_refused(log: BlockingLog) -> None:
    # L-07
    entry = scene.request()
    assert refused(log, entry[:-1] + bytes((entry[-1] ^ 1,))) is Code.SIGNATURE_INVALID


def test_a_flipped_payload_bit_is_refused(log: BlockingLog) -> None:
    # L-07 C-09
    entry = scene.request()
    assert refused(log, entry.replace(scene.digest("action"), scene.digest("other"))) is Code.SIGNATURE_INVALID


def test_a_key_that_no_entry_names_is_unknown(log: BlockingLog) -> None:
    # L-07
    assert refused(log, scene.request(key=STRANGER, iss="urn:scene:requester")) is Code.UNKNOWN_KEY


def test_a_key_of_another_algorithm_is_another_key(log: BlockingLog) -> None:
    same = LocalSigner(REQUESTER._key, Algorithm.ESP256)
    assert same.public_key.thumbprint == REQUESTER.public_key.thumbprint
    assert refused(log, scene.request(key=same, iss="urn:scene:requester")) is Code.UNKNOWN_KEY


def test_a_runtime_key_that_an_authorization_named_is_not_enrolled_by_it(log: BlockingLog, case: Case) -> None:
    # L-07
    log.register_many([*case][:3])
    assert refused(log, scene.request(key=RUNTIME, iss="urn:scene:requester")) is Code.UNKNOWN_KEY


def test_a_kind_must_be_enrolled(log: BlockingLog, case: Case) -> None:
    # L-07
    log.register_many([*case][:2])
    entry = scene.sign(statement.parse(case.decision).record, REQUESTER, case.sub)
    assert refused(log, entry) is Code.KIND_NOT_ENROLLED


def test_an_action_type_must_be_enrolled(log: BlockingLog) -> None:
    # L-07
    assert refused(log, scene.request(action=Action("mcp.tool", scene.digest("action")))) is Code.ACTION_NOT_ENROLLED


def test_an_authorization_is_bound_to_its_keys_action_types(log: BlockingLog, case: Case) -> None:
    log.register_many([*case][:2])
    entry = scene.authorization(case.sub, case.decided, action=Action("mcp.tool", scene.digest("action")))
    assert refused(log, entry) is Code.ACTION_NOT_ENROLLED


def test_the_issuer_must_be_the_enrolled_one(log: BlockingLog) -> None:
    # L-07
    assert refused(log, scene.request(iss="urn:scene:other")) is Code.ISSUER_MISMATCH


@pytest.mark.parametrize(("offset", "code"), [(-300, None), (300, None), (-301, Code.SKEW), (301, Code.SKEW)])
def test_the_time_of_a_statement_lies_near_the_logs(log: BlockingLog, offset: int, code: Code | None) -> None:
    entry = scene.request(iat=NOW + offset)
    assert (refused(log, entry) if code else log.register(entry).fresh) == (code or True)


def test_a_runtimes_records_may_be_late_but_not_early(log: BlockingLog, case: Case) -> None:
    log.register_many([*case][:3])
    assert log.register(scene.verification(case.sub, case.authorized, iat=NOW - 10**6)).fresh
    assert refused(log, scene.verification(case.sub, case.authorized, iat=NOW + 301)) is Code.SKEW


def test_a_linked_record_must_be_there(log: BlockingLog, case: Case) -> None:
    assert refused(log, case.decision) is Code.LINK_MISSING
    log.register(case.request)
    assert log.register(case.decision).fresh


def test_a_link_to_a_later_record_of_the_batch_is_missing(log: BlockingLog, case: Case) -> None:
    late, request, again = log.register_many([case.decision, case.request, case.decision])
    assert isinstance(late, Refused)
    assert late.code is Code.LINK_MISSING
    assert isinstance(request, Registered)
    assert isinstance(again, Registered)
    assert again.leaf_index == request.leaf_index + 1


def test_a_link_must_lead_to_the_right_kind(log: BlockingLog, case: Case) -> None:
    #
    log.register(case.request)
    links = (Link("request", case.asked[1].id), case.asked[1])
    assert refused(log, scene.decision(case.sub, links)) is Code.LINK_INVALID


def test_a_link_must_stay_with_its_subject(log: BlockingLog, case: Case) -> None:
    #
    log.register(case.request)
    assert refused(log, scene.decision(scene.subject(), case.asked)) is Code.LINK_INVALID


def test_a_decision_links_its_request_once(log: BlockingLog, case: Case) -> None:
    #
    log.register(case.request)
    assert refused(log, scene.decision(case.sub, case.asked[1:])) is Code.LINK_INVALID
    assert refused(log, scene.decision(case.sub, (case.asked[0], *case.asked))) is Code.LINK_INVALID


@pytest.mark.parametrize("outcome", ["deny", "needs-approval"])
def test_only_an_allowed_request_is_authorized(log: BlockingLog, case: Case, outcome: str) -> None:
    # L-08
    denied = scene.decision(case.sub, case.asked, outcome)
    log.register_many([case.request, denied])
    links = (case.asked[0], Link("decision", scene.record_id(denied)), case.asked[1])
    assert refused(log, scene.authorization(case.sub, links)) is Code.DECISION_NOT_ALLOW


def test_an_authorization_follows_the_decision_on_its_own_request(log: BlockingLog, case: Case) -> None:
    # L-08
    other = scene.request(case.sub)
    log.register_many([case.request, case.decision, other])
    links = (Link("request", scene.record_id(other)), *case.decided[1:])
    assert refused(log, scene.authorization(case.sub, links)) is Code.LINK_INVALID
    assert log.register(case.authorization).fresh


def test_an_authorization_follows_the_decision_under_its_own_policy(log: BlockingLog, case: Case) -> None:
    # L-08
    other = scene.policy(name=f"{scene.POLICY_SET}:{case.sub}")
    log.register_many([case.request, case.decision, other])
    links = (*case.decided[:2], Link("policy", scene.record_id(other)))
    assert refused(log, scene.authorization(case.sub, links)) is Code.LINK_INVALID


def test_an_authorization_is_for_the_action_of_its_request(log: BlockingLog, case: Case) -> None:
    # L-08
    log.register_many([*case][:2])
    other = Action(scene.TYPE, scene.digest("other action"))
    assert refused(log, scene.authorization(case.sub, case.decided, action=other)) is Code.LINK_INVALID
    assert log.register(case.authorization).fresh


@pytest.mark.parametrize("outcome", ["deny", "needs-approval", "allow"])
def test_what_is_not_allowed_may_be_observed(log: BlockingLog, case: Case, outcome: str) -> None:
    # L-08
    decided = scene.decision(case.sub, case.asked, outcome)
    log.register_many([case.request, decided])
    links = (case.asked[0], Link("decision", scene.record_id(decided)), case.asked[1])
    assert log.register(scene.authorization(case.sub, links, mode="observe")).fresh


def test_a_verification_is_signed_with_the_key_of_its_authorization(log: BlockingLog, case: Case) -> None:
    # L-07
    log.register_many([*case][:3])
    assert refused(log, scene.verification(case.sub, case.authorized, key=STRANGER)) is Code.UNKNOWN_KEY
    assert log.register(case.verification).fresh


def test_an_outcome_is_signed_with_the_key_of_its_verification(log: BlockingLog, case: Case) -> None:
    other = Case(case.policy)
    held = scene.authorization(other.sub, other.decided, holder=STRANGER)
    log.register_many([*case][:4])
    log.register_many([other.request, other.decision, held])
    assert refused(log, scene.outcome(case.sub, case.verified, key=STRANGER)) is Code.UNKNOWN_KEY
    assert log.register(case.outcome).fresh


def test_an_enforcement_follows_what_its_signer_holds(log: BlockingLog, case: Case) -> None:
    log.register_many([*case])
    for cause in (case.authorized[0].id, case.verified[0].id, scene.record_id(case.outcome)):
        assert log.register(scene.enforcement(case.sub, (Link("cause", cause),))).fresh
    for links in ((), (Link("cause", case.asked[0].id),)):
        assert refused(log, scene.enforcement(case.sub, links)) is Code.UNKNOWN_KEY
        assert log.register(scene.enforcement(case.sub, links, key=AUTHORITY)).fresh


def test_a_retired_runtime_key_still_reports_on_what_it_was_authorized_for(log: BlockingLog, case: Case) -> None:
    # L-07
    runtime = signer("scene retiring runtime")
    kinds = (Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT)
    log.register(scene.enrolment(runtime, "urn:scene:runtime", kinds))
    assert log.register(scene.enforcement(case.sub, (), key=runtime)).fresh
    log.register_many([case.request, case.decision, scene.authorization(case.sub, case.decided, holder=runtime)])
    held = log.find(sub=case.sub, kind=Kind.AUTHORIZATION)[0].record_id
    log.register(scene.enrolment(runtime, "urn:scene:runtime", (), until=0))
    assert refused(log, scene.enforcement(case.sub, (), key=runtime, seq=4)) is Code.KEY_OUT_OF_RANGE
    assert log.register(scene.verification(case.sub, (Link("authorization", held),), key=runtime)).fresh


def test_the_chain_of_policies_has_no_gap_and_no_fork(log: BlockingLog) -> None:
    # L-09
    name = f"urn:scene:policy:{scene.unique().hex()}"
    first = scene.policy(1, None, name)
    assert refused(log, scene.policy(2, None, name)) is Code.EPOCH_INVALID
    assert refused(log, scene.policy(0, None, name)) is Code.EPOCH_INVALID
    log.register(first)
    second = scene.policy(2, first, name)
    assert refused(log, scene.policy(1, None, name)) is Code.EPOCH_INVALID
    assert refused(log, scene.policy(2, None, name)) is Code.EPOCH_INVALID
    assert refused(log, scene.policy(3, first, name)) is Code.EPOCH_INVALID
    log.register(second)
    assert refused(log, scene.policy(2, first, name)) is Code.EPOCH_INVALID
    assert refused(log, scene.policy(3, first, name)) is Code.EPOCH_INVALID
    third, fork = log.register_many([scene.policy(3, second, name), scene.policy(3, second, name)])
    assert isinstance(third, Registered)
    assert isinstance(fork, Refused)
    assert fork.code is Code.EPOCH_INVALID
    newest = log.newest_policy(name)
    assert newest is not None
    assert (newest.leaf_index, newest.number) == (third.leaf_index, 3)


def test_an_enrolment_takes_effect_within_its_batch_and_the_last_one_holds(log: BlockingLog) -> None:
    key, iss = signer("scene late requester"), "urn:scene:late"
    answers = log.register_many(
        [
            scene.enrolment(key, iss, (Kind.REQUEST,)),
            scene.request(key=key, iss=iss),
            scene.enrolment(key, iss, (Kind.POLICY,)),
            scene.request(key=key, iss=iss),
        ]
    )
    assert [getattr(answer, "code", None) for answer in answers] == [None, None, None, Code.KIND_NOT_ENROLLED]
    assert refused(log, scene.request(key=key, iss=iss)) is Code.KIND_NOT_ENROLLED
    standing = log.enrolment(key.public_key.thumbprint)
    assert standing is not None
    assert isinstance(answers[2], Registered)
    assert standing.leaf_index == answers[2].leaf_index


def test_an_enrolment_holds_from_its_first_index_up_to_its_last(log: BlockingLog) -> None:
    key, iss = signer("scene ranged requester"), "urn:scene:ranged"
    start = log.register(scene.request()).leaf_index + 1
    log.register(scene.enrolment(key, iss, (Kind.REQUEST,), since=start + 2, until=start + 3))
    assert refused(log, scene.request(key=key, iss=iss)) is Code.KEY_OUT_OF_RANGE
    log.register(scene.request())
    assert log.register(scene.request(key=key, iss=iss)).leaf_index == start + 2
    assert refused(log, scene.request(key=key, iss=iss)) is Code.KEY_OUT_OF_RANGE


def test_an_authority_enrols_requesters_and_runtimes_only(log: BlockingLog) -> None:
    # L-10
    key, iss = signer("scene delegated"), "urn:scene:delegated"

    def by(signer_: LocalSigner, *kinds: Kind) -> bytes:
        enroller = scene.ISSUERS[signer_][0]
        return scene.enrolment(key, iss, kinds, by=signer_, enroller=enroller)

    assert refused(log, by(REQUESTER, Kind.REQUEST)) is Code.KIND_NOT_ENROLLED
    assert refused(log, by(AUTHORITY, Kind.REQUEST, Kind.POLICY)) is Code.ENROLMENT_INVALID
    assert refused(log, by(AUTHORITY, Kind.ENROLMENT)) is Code.ENROLMENT_INVALID
    assert log.register(by(AUTHORITY, Kind.REQUEST, Kind.VERIFICATION, Kind.OUTCOME, Kind.ENFORCEMENT)).fresh
    assert log.register(scene.request(key=key, iss=iss)).fresh
    assert log.register(by(AUTHORITY, Kind.REQUEST)).fresh


def test_an_authority_replaces_only_what_it_enrolled(log: BlockingLog) -> None:
    # L-10
    for key in (OWNER, OPERATOR):
        entry = scene.enrolment(key, "urn:scene:owner", (Kind.REQUEST,), by=AUTHORITY, enroller="urn:scene:authority")
        assert refused(log, entry) is Code.ENROLMENT_INVALID


def test_an_enrolled_key_must_be_a_key(log: BlockingLog) -> None:
    record: Any = statement.parse(scene.enrolment(signer("scene broken"), "urn:scene:broken", (Kind.REQUEST,))).record
    broken = record._replace(key={1: 2, 3: -7, -1: 1, -2: bytes(32), -3: bytes(32)})
    assert refused(log, scene.sign(broken, OPERATOR, scene.subject(), iss=KEYS.iss)) is Code.MALFORMED


def test_there_is_one_genesis(log: BlockingLog) -> None:
    assert refused(log, scene.genesis()) is Code.ENROLMENT_INVALID


def test_a_registration_policy_bounds_size_and_skew(tmp_path: Path) -> None:
    small = Registration(max_bytes=4096, skew_s=10)

    def change(key: LocalSigner, iss: str, policy: Registration) -> bytes:
        return sign_registration(key, policy, iss=iss, now=NOW, unique=scene.unique())

    large = scene.request(claims={"note": "x" * 4096})
    with scene.create(tmp_path / "log.db") as log:
        assert refused(log, change(AUTHORITY, "urn:scene:authority", small)) is Code.ENROLMENT_INVALID
        assert refused(log, change(OPERATOR, KEYS.iss, small._replace(max_bytes=100))) is Code.ENROLMENT_INVALID
        assert log.register(scene.request(iat=NOW - 11)).fresh
        assert log.register(large).fresh
        log.register(change(OPERATOR, KEYS.iss, small))
        assert log.register(scene.request(iat=NOW - 10)).fresh
        assert refused(log, scene.request(iat=NOW - 11)) is Code.SKEW
        assert refused(log, scene.request(claims={"note": "x" * 4096})) is Code.TOO_LARGE
        assert not log.register(large).fresh
    with scene.reopen(tmp_path / "log.db") as log:
        assert refused(log, scene.request(iat=NOW - 11)) is Code.SKEW
