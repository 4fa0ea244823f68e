"""The specifications against the code: ids and their citations, tables, the example, the links between pages."""

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from exequatur_issuer import engine, obligations
from exequatur_issuer.engine import Policy
from exequatur_issuer.obligations import ObligationError
from exequatur_log.errors import Code as RefusalCode
from exequatur_verifier import parse_trust
from exequatur_verifier.lineage import PREDECESSORS
from exequatur_verifier.statement import MAX_STATEMENT
from exequatur_verifier.verdict import Code
from exequatur_verifier.verify import PROCEDURE
from tests.data import ROOT

SPECS = ROOT / "specs"
# Which letter the ids of a page begin with.
LETTERS = {
    "01-records.md": "R",
    "02-cose-profile.md": "C",
    "03-log.md": "L",
    "04-receipts-and-bundle.md": "B",
    "05-verification.md": "V",
    "06-trust-policy.md": "T",
    "07-gate.md": "G",
    "08-threat-model.md": "-",
    "09-authority.md": "A",
    "10-service.md": "S",
    "11-witness.md": "W",
    "12-authority-service.md": "H",
}
ID = re.compile(r"\*\*([A-Z]-\d\d)\*\*")
PAGES = sorted(SPECS.glob("[0-9][0-9]-*.md"))
DOCUMENTS = [*sorted(SPECS.glob("*.md")), *sorted((SPECS / "decisions").glob("*.md"))]
RULES = [rule for page in PAGES for rule in ID.findall(page.read_text())]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def rows(page: str, *header: str) -> list[list[str]]:
    """Return the cells of the one table of a page that has this header, without its marks of code."""
    found: list[list[list[str]]] = []
    for table in re.findall(r"(?:^\|.*\n)+", (SPECS / page).read_text(), re.MULTILINE):
        # A bar inside a cell would be escaped; no table here has one.
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        if cells[0] == list(header):
            found.append(cells[2:])
    assert len(found) == 1, f"{page} has {len(found)} tables {header}"
    return found[0]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def citations() -> dict[str, set[str]]:
    """Return the test files that cite each id. This one does not count for what it only reads."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            for rule in re.findall(r"\b[RCLBVTGASWH]-\d\d\b", path.read_text()):
                found.setdefault(rule, set()).add(path.name)
    return found


def test_every_page_has_its_letter() -> None:
    assert {page.name for page in PAGES} == set(LETTERS)


@each_page
def test_must_stands_in_a_sentence_with_an_id_and_nowhere_else(page: Path) -> None:
    for paragraph in re.split(r"\n\n+", page.read_text()):
        if "MUST" not in paragraph:
            continue
        assert ID.match(paragraph), f"{page.name}: no id before {paragraph[:60]!r}"
        assert len(ID.findall(paragraph)) == 1, paragraph
        # Every sentence that obliges begins with the id, so only the first one may.
        first = re.split(r"(?<=[.:])\s", paragraph)[0]
        assert paragraph.count("MUST") == first.count("MUST"), paragraph


@each_page
def test_ids_are_numbered_from_one_in_order(page: Path) -> None:
    found = ID.findall(page.read_text())
    assert found == [f"{LETTERS[page.name]}-{number:02d}" for number in range(1, len(found) + 1)]


def test_every_rule_is_cited_by_a_test() -> None:
    assert [rule for rule in RULES if rule not in citations()] == []


def test_tests_cite_no_rule_that_is_not_there() -> None:
    assert citations().keys() <= set(RULES)


def test_pages_refer_to_rules_that_are_there() -> None:
    for page in DOCUMENTS:
        assert set(re.findall(r"\b[RCLBVTGASWH]-\d\d\b", page.read_text())) <= set(RULES), page.name


def test_predecessors_are_those_of_the_kernel() -> None:
    written = {
        (*names(kind), *names(relation)): (set(names(kinds)), int(least), int(most), same == "yes")
        for kind, relation, kinds, least, most, same in rows(
            "01-records.md", "kind", "relation", "leads to", "least", "most", "same subject"
        )
    }
    coded = {
        (kind.value, name): ({other.value for other in found.kinds}, found.least, found.most, found.same_subject)
        for kind, relations in PREDECESSORS.items()
        for name, found in relations.items()
    }
    assert written == coded


def steps_of(needs: str) -> set[int]:
    """Return the steps that ``0–4, 11`` names."""
    found: set[int] = set()
    for part in filter(None, needs.split(", ")):
        first, _, last = part.partition("–")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_steps_are_those_of_the_kernel() -> None:
    written = [
        (int(number), name, steps_of(needs))
        for number, name, needs, _ in rows("05-verification.md", "#", "step", "needs", "denies with")
        if name != "admit"
    ]
    assert written == [(step.number, step.name, set(step.needs)) for step in PROCEDURE]


def test_codes_are_those_of_the_kernel() -> None:
    written = rows("05-verification.md", "code", "condition", "from")
    assert [(*names(code), condition) for code, condition, _ in written] == [
        (code.name, code.condition.value) for code in Code
    ]


def test_steps_and_codes_name_each_other() -> None:
    by_step = {
        (code, int(number))
        for number, _, _, codes in rows("05-verification.md", "#", "step", "needs", "denies with")
        for code in names(codes)
    }
    by_code = {
        (*names(code), int(number))
        for code, _, origin in rows("05-verification.md", "code", "condition", "from")
        for number in re.findall(r"\d+", origin)
        if origin.startswith("step")
    }
    assert by_step == by_code


def test_refusals_are_those_of_the_log() -> None:
    assert [names(code)[0] for code, _ in rows("03-log.md", "code", "why")] == list(RefusalCode)


def test_codes_of_the_authority_are_those_of_the_engine() -> None:
    assert tuple(names(code)[0] for code, _ in rows("09-authority.md", "code", "when")) == get_args(engine.Code)


def test_annotations_are_obligations_with_values_that_can_be_obeyed() -> None:
    written = rows("09-authority.md", "annotation", "for example", "demands", "of several permits")
    for annotation, example, _, _ in written:
        annotations = {names(annotation)[0].removeprefix("@"): names(example)[0]}
        obligations.check([Policy("p", "permit", annotations)])
        with pytest.raises(ObligationError, match="has nothing to oblige"):
            obligations.check([Policy("p", "forbid", annotations)])
    listed = re.findall(r"^    @.*$", obligations.__doc__ or "", re.MULTILINE)
    assert {names(annotation)[0] for annotation, *_ in written} == set(re.findall(r"@[a-z_]+", " ".join(listed)))


@pytest.mark.parametrize(
    ("page", "header", "module"),
    [
        ("03-log.md", ("finding", "says that"), "log/exequatur_log/fsck.py"),
        ("05-verification.md", ("finding", "when"), "verifier/exequatur_verifier/monitor.py"),
        ("05-verification.md", ("code", "when"), "cli/exequatur_cli/audit.py"),
    ],
)
def test_findings_are_those_that_the_module_makes(page: str, header: tuple[str, str], module: str) -> None:
    made = set(re.findall(r'(?:[Ff]ind(?:ing)?\(|code = |else )\s*"([A-Z_]+)"', (ROOT / module).read_text()))
    written = {names(code)[0] for code, _ in rows(page, *header)}
    # A finding may also bear the code of an error that it passes on.
    assert made <= written <= made | {code.name for code in Code}


def test_example_of_a_trust_policy_parses() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (SPECS / "06-trust-policy.md").read_text(), re.DOTALL)
    trust = parse_trust(example.encode())
    assert trust.quorum is not None
    assert trust.runtime.id == "urn:exequatur:runtime:ci-7"


def test_every_threat_has_a_row() -> None:
    threats = rows("08-threat-model.md", "#", "threat", "answer", "where, and what is open")
    assert [int(number) for number, *_ in threats] == list(range(1, 41))
    assert all(answer or where.startswith("Not yet") for _, _, answer, where in threats)


def test_largest_statement_is_written_as_it_is() -> None:
    assert f"{MAX_STATEMENT:,} bytes" in (SPECS / "02-cose-profile.md").read_text()


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_pages_link_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_index_of_decisions_is_complete() -> None:
    pages = [page.name for page in sorted((SPECS / "decisions").glob("0*.md"))]
    assert re.findall(r"\((0[^)]+)\)", (SPECS / "decisions" / "README.md").read_text()) == pages
    for number, page in enumerate(pages, start=1):
        text = (SPECS / "decisions" / page).read_text()
        assert text.startswith(f"# {number:04d} ")
        headings = ["Context", "Options", "Decision", "What would change our mind"]
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == headings, page


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    wide = [line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")]
    assert wide == [], textwrap.shorten(str(wide), 200)
