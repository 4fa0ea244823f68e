"""What is wrong with a policy set, or looks as if its author meant something else (specs/09 §4).

    REFUSED      error    the set does not load: what ``cedar``, ``rules`` or ``obligations`` object to
    UNREACHABLE  error    the conditions of a policy contradict each other, so it can never apply
    OVERRULED    warning  a permit, wherever it applies, meets a forbid
    SHADOWED     warning  whatever a policy permits or forbids, another one does as well, and demands as much
    BROAD        warning  a permit for any action, or for any resource in any context
    NO_ID        warning  a policy is named by its position, which the next edit may change
    NO_DOC       warning  whoever is denied or allowed is not told why

Nothing is guessed: a policy is unreachable, overruled or shadowed only where the text proves it
(``conditions``); where it does not, nothing is said. Errors keep a set from being signed; warnings do not.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from . import obligations
from .cedar import CedarEngine, render
from .cedar_loading import Source
from .conditions import Condition, Goal, Known, conditions, goal, mentions
from .policyset import PolicySetError

Code = Literal["REFUSED", "UNREACHABLE", "OVERRULED", "SHADOWED", "BROAD", "NO_ID", "NO_DOC"]
Level = Literal["error", "warning"]

_ERRORS: Final = ("REFUSED", "UNREACHABLE")
_ANY: Final = {"principal": "any principal", "action": "any action", "resource": "any resource in any context"}


class Finding(NamedTuple):
    """A finding: its code, the policy that it is about, where that stands, a sentence, and what to do.

    ``policy`` is None and ``line`` 0 for what is about no one policy or line.
    """

    code: Code
    policy: str | None
    file: str
    line: int
    detail: str
    advice: str

    @property
    def level(self) -> Level:
        """Whether it keeps the set from being signed."""
        return "error" if self.code in _ERRORS else "warning"

    @property
    def place(self) -> str:
        """File and line, as editors read them."""
        return f"{self.file}:{self.line}" if self.line else self.file


class _Rule(NamedTuple):
    """A policy with its conditions, and what they prove together."""

    source: Source
    conditions: list[Condition]
    goals: tuple[Goal, ...]
    known: Known

    def finding(self, code: Code, detail: str, advice: str) -> Finding:
        """Return a finding about this policy."""
        return Finding(code, self.source.policy.id, self.source.file, self.source.line, detail, advice)


def refused(error: PolicySetError) -> Finding:
    """Return the finding for a set that does not load."""
    return Finding(
        "REFUSED", None, error.file, error.line, error.detail, "Correct it; nothing of this set is in force."
    )


def lint(engine: CedarEngine) -> list[Finding]:
    """Return what there is to say of a loaded set, in the order of its policies."""
    rules = _rules(engine)
    found = [*_unreachable(rules)]
    dead = {finding.policy for finding in found}
    alive = [rule for rule in rules if rule.source.policy.id not in dead]
    found += [*_covered(alive), *(finding for rule in alive for finding in _broad(rule))]
    found += (finding for rule in rules for finding in _unnamed(rule))
    order = {rule.source.policy.id: place for place, rule in enumerate(rules)}
    return sorted(found, key=lambda finding: order[finding.policy or ""])


def check(engine: CedarEngine) -> None:
    """Raise ``PolicySetError`` for the first policy that can be proven never to apply; asked before a set is signed."""
    for finding in _unreachable(_rules(engine)):
        raise PolicySetError(finding.file, finding.line, f"{finding.policy}: {finding.detail} {finding.advice}")


def _rules(engine: CedarEngine) -> list[_Rule]:
    read = ((source, conditions(source.tree)) for source in engine.sources)
    return [_Rule(source, found, tuple(map(goal, found)), Known(found)) for source, found in read]


def _unreachable(rules: Sequence[_Rule]) -> Iterator[Finding]:
    for rule in rules:
        term = rule.known.contradiction()
        if term is not None:
            parts = " and ".join(f"`{render(one)}`" for one in rule.known.about(term))
            detail = f"can never apply: {parts} contradict each other."
            yield rule.finding("UNREACHABLE", detail, "Correct the condition, or remove the policy.")


def _covered(rules: Sequence[_Rule]) -> Iterator[Finding]:
    """Yield at most one finding for each policy that another makes pointless."""
    for place, rule in enumerate(rules):
        policy = rule.source.policy
        for other_place, other in enumerate(rules):
            if other is rule or not rule.known.proves(other.goals):
                continue
            beside, by = other.source.policy, f"{other.source.policy.id} ({other.source.place})"
            if policy.effect == "permit" and beside.effect == "forbid":
                detail = f"never permits anything: wherever it applies, the forbid {by} applies too, and wins."
                yield rule.finding("OVERRULED", detail, "Narrow the forbid, or remove this permit.")
                break
            # Of two that are the same, the first is not said to be covered by the second.
            same = place < other_place and other.known.proves(rule.goals)
            if policy.effect == beside.effect and not same and _adds_nothing(rule, other):
                verb = "permits" if policy.effect == "permit" else "forbids"
                detail = f"{verb} nothing that {by} does not, and demands no more."
                yield rule.finding("SHADOWED", detail, f"Remove it, or narrow {beside.id} if it says too much.")
                break


def _adds_nothing(rule: _Rule, other: _Rule) -> bool:
    """Say whether a permit demands nothing beyond what the other does: all permits that apply are obeyed."""
    policy, beside = rule.source.policy, other.source.policy
    return policy.effect == "forbid" or obligations.collect([policy, beside]) == obligations.collect([beside])


def _broad(rule: _Rule) -> Iterator[Finding]:
    if rule.source.policy.effect != "permit":
        return
    free = [name for name in _ANY if not any(mentions(condition, name) for condition in rule.conditions)]
    if any(mentions(condition, "context") for condition in rule.conditions) and "resource" in free:
        # What an action does is in its context as well as in its resource.
        free.remove("resource")
    if "action" in free or "resource" in free:
        detail = f"permits {', '.join(_ANY[name] for name in free)}" + ("" if rule.conditions else ", always") + "."
        yield rule.finding("BROAD", detail, "Name what is meant, or add a condition on the context.")


def _unnamed(rule: _Rule) -> Iterator[Finding]:
    annotations = rule.source.policy.annotations
    if "id" not in annotations:
        detail = "has no @id, so decisions name it by its position, which changes when policies are added."
        yield rule.finding("NO_ID", detail, '@id("…") names it.')
    if not annotations.get("doc"):
        detail = "has no @doc, so nobody is told why it permits or forbids."
        yield rule.finding("NO_DOC", detail, '@doc("…") tells them in one sentence.')
