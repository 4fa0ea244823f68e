"""Two policy sets side by side: what was changed, and what that changes (specs/09 §8).

    parts      which of the four differ, by digest
    policies   added, removed, or changed, by @id: the rule itself, its obligations, or only its words
    outcomes   questions that the two answer differently: cases, or what the log says was asked before

Two sets that differ in every line may answer everything alike, and one changed entity may turn all answers; so
the outcomes are computed, and not read from the texts.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple

from exequatur_verifier import statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Decision, Request
from exequatur_verifier.statement import Statement

from . import obligations
from .cedar import CedarEngine
from .cedar_loading import Source
from .content import ContentStore
from .decide import Decided, InForce
from .policyset import PolicySet
from .rehearsal import Question, decide_on
from .replay import opened

_RULE: Final = ("effect", "principal", "action", "resource", "conditions")


class Change(NamedTuple):
    """A policy that is in one set only, or differs between the two. ``annotations`` are those that do, old and new."""

    policy: str
    change: Literal["added", "removed", "rule", "obligations", "words"]
    place: str
    annotations: Mapping[str, tuple[str | None, str | None]] = {}


class Outcome(NamedTuple):
    """A question that two sets answer differently."""

    name: str
    old: Decided
    new: Decided

    def sentence(self) -> str:
        """Return how."""
        old, new = _spell(self.old), _spell(self.new)
        return f"{old} → {new}" if old != new else f"{new}, with other obligations"


class Logged(NamedTuple):
    """A question that was decided before: how to call it, and the question, or why it cannot be put again."""

    name: str
    question: Question | None
    missing: str | None = None


def parts(old: PolicySet, new: PolicySet) -> list[str]:
    """Return the names of the parts that differ."""
    digests = new.digests()
    return [name for name, digest in old.digests().items() if digest != digests[name]]


def policies(old: CedarEngine, new: CedarEngine) -> list[Change]:
    """Return what became of each policy, in the order of the new set, then what was removed.

    Policies without an @id are compared by their position.
    """
    before = {source.policy.id: source for source in old.sources}
    after = {source.policy.id: source for source in new.sources}
    found: list[Change] = []
    for name, source in after.items():
        if name not in before:
            found.append(Change(name, "added", source.place))
        elif (change := _change(before[name], source)) is not None:
            found.append(change)
    found += (Change(name, "removed", source.place) for name, source in before.items() if name not in after)
    return found


def outcomes(questions: Iterable[tuple[str, Question]], old: InForce, new: InForce) -> Iterator[Outcome]:
    """Yield the questions, each with its name, to which two sets give different answers or other obligations."""
    for name, question in questions:
        one, other = decide_on(question, old), decide_on(question, new)
        if _spell(one) != _spell(other) or one.obligations != other.obligations:
            yield Outcome(name, one, other)


def logged(
    decisions: Iterable[Statement], find: Callable[[bytes], bytes | None], content: ContentStore
) -> Iterator[Logged]:
    """Yield what was asked for each logged decision; ``find`` returns a logged statement by its record id."""
    for decision in decisions:
        record = decision.record
        if not isinstance(record, Decision):
            raise MalformedError(f"a {decision.kind.value} record is no decision")
        name = f"decision {decision.id.hex()[:16]}"
        request = next(link.id for link in record.links if link.relation == "request")
        try:
            asked = statement.parse(find(request) or b"")
            _, descriptor = opened(asked, content)
        except ExequaturError as error:
            yield Logged(name, None, str(error))
            continue
        assert isinstance(asked.record, Request)
        question = Question(descriptor, asked.claims.iss, record.now, asked.record.claims)
        yield Logged(f"{name}, {title(descriptor)}", question)


def title(descriptor: Descriptor) -> str:
    """Return an action in one line for people; what does not print is escaped, and what is long cut."""
    text = f"{descriptor['type']} {descriptor['name']}"
    if descriptor["type"] == "process.exec":
        text = shlex.join(argument.decode(errors="backslashreplace") for argument in descriptor["args"])
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _change(old: Source, new: Source) -> Change | None:
    names = sorted(old.policy.annotations.keys() | new.policy.annotations.keys())
    pairs = {name: (old.policy.annotations.get(name), new.policy.annotations.get(name)) for name in names}
    annotations = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if any(old.tree[part] != new.tree[part] for part in _RULE):
        return Change(new.policy.id, "rule", new.place, annotations)
    if obligations.collect([old.policy]) != obligations.collect([new.policy]):
        return Change(new.policy.id, "obligations", new.place, annotations)
    return Change(new.policy.id, "words", new.place, annotations) if annotations else None


def _spell(decided: Decided) -> str:
    record = decided.record
    return record.outcome if record.code is None else f"{record.outcome} {record.code}"
