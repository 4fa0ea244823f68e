"""A log under any sequence of appends, retries, closings and proofs, beside a list of leaves and the slow reference."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from exequatur_log.blocking import BlockingLog, check_file
from exequatur_log.entry import Registered
from exequatur_verifier import receipt
from tests.log import scene
from tests.log.scene import KEYS, check_receipt
from tests.support import reference


class LogMachine(RuleBasedStateMachine):
    """The model is what was acknowledged: entries in order, their receipts, the head seen last."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="exequatur-log-"))
        self.path = self.folder / "log.db"
        self.now = scene.NOW
        genesis = scene.genesis()
        self.log = BlockingLog.create(self.path, genesis, KEYS, clock=lambda: self.now)
        enrolments = scene.enrolments()
        answers = [answer for answer in self.log.register_many(enrolments) if isinstance(answer, Registered)]
        self.entries = [genesis, *enrolments]
        self.receipts = [self.log.receipt(0), *(answer.receipt for answer in answers)]

    @rule(count=st.sampled_from([1, 1, 2, 3, 7, 30]), pause=st.integers(0, 5))
    def append(self, count: int, pause: int) -> None:
        self.now += pause
        batch = [scene.request(iat=self.now) for _ in range(count)]
        for entry, answer in zip(batch, self.log.register_many(batch), strict=True):
            assert isinstance(answer, Registered)
            assert (answer.leaf_index, answer.fresh) == (len(self.entries), True)
            assert check_receipt(answer.receipt, entry, answer.leaf_index).iat == self.now
            self.entries.append(entry)
            self.receipts.append(answer.receipt)

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.entries) - 1))
        answer = self.log.register(self.entries[index])
        assert (answer.leaf_index, answer.receipt, answer.fresh) == (index, self.receipts[index], False)

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = BlockingLog.open(self.path, KEYS, clock=lambda: self.now)

    @rule(data=st.data())
    def prove_inclusion(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, len(self.entries)))
        index = data.draw(st.integers(0, size - 1))
        assert list(self.log.inclusion(index, size)) == reference.inclusion_path(index, self.entries[:size])
        assert self.log.receipt(index) == self.receipts[index]

    @rule(data=st.data())
    def prove_consistency(self, data: st.DataObject) -> None:
        size2 = data.draw(st.integers(1, len(self.entries)))
        size1 = data.draw(st.integers(1, size2))
        assert list(self.log.consistency(size1, size2)) == reference.consistency_path(size1, self.entries[:size2])

    @precondition(lambda self: len(self.entries) > 40)
    @rule()
    def check(self) -> None:
        assert check_file(self.path) == []

    @invariant()
    def head_is_of_all_that_was_acknowledged(self) -> None:
        head = self.log.head()
        assert (head.size, head.root) == (len(self.entries), reference.root(self.entries))
        receipt.verify_head(head.protected, head.signature, head.root, KEYS.receipt.public_key)

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.folder)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
