"""The journal: the first answer stands, whoever kept it, and heads are remembered a while."""

import sqlite3
from pathlib import Path

import pytest

from exequatur_issuer.journal import HEADS_KEPT, Journal, JournalError, Signed
from exequatur_verifier.records import Head

REQUEST = bytes(32)
FIRST, SECOND = Signed(b"decision 1", b"artifact 1"), Signed(b"decision 2", None)


def test_the_first_answer_stands_across_processes(tmp_path: Path) -> None:
    # B-11
    one, other = Journal(tmp_path / "journal.db"), Journal(tmp_path / "journal.db")
    assert one.find(REQUEST) is None
    assert one.keep({REQUEST: FIRST}) == {REQUEST: FIRST}
    assert other.keep({REQUEST: SECOND, bytes([1]) * 32: SECOND}) == {REQUEST: FIRST, bytes([1]) * 32: SECOND}
    assert other.find(REQUEST) == FIRST


def test_answers_outlive_the_process(tmp_path: Path) -> None:
    # B-11
    journal = Journal(tmp_path / "journal.db")
    journal.keep({REQUEST: SECOND})
    journal.close()
    assert Journal(tmp_path / "journal.db").find(REQUEST) == SECOND


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").keep({REQUEST: FIRST})
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_the_largest_heads_of_each_runtime_and_log_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    heads = [Head("one", size, bytes([size]) * 32) for size in range(1, HEADS_KEPT + 4)]
    journal.note_heads([("runtime", head) for head in heads] + [("runtime", heads[-1])])
    journal.note_heads([("other", heads[0]), ("runtime", heads[0]._replace(origin="two"))])
    assert journal.heads("one", "runtime") == heads[-HEADS_KEPT:]
    assert journal.heads("one", "other") == heads[:1]
    assert [head.origin for head in journal.heads("two", "runtime")] == ["two"]


def test_a_file_that_is_no_journal_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all, but long enough to be looked at" * 30)
    with pytest.raises(JournalError, match=r"journal\.db"):
        Journal(tmp_path / "journal.db")
    with pytest.raises(JournalError):
        Journal(tmp_path / "missing" / "journal.db")


def test_a_failed_transaction_keeps_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    # A table of STRICT columns refuses what is no blob, after the first row went in.
    with pytest.raises(JournalError):
        journal.keep({REQUEST: FIRST, bytes([1]) * 32: Signed("text", None)})  # type: ignore[arg-type]  # on purpose
    assert journal.find(REQUEST) is None
    assert sqlite3.connect(tmp_path / "journal.db").execute("SELECT count(*) FROM answers").fetchone() == (0,)
