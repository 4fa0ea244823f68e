"""Why an action is allowed or denied, and how little would have to be otherwise (specs/09 §4).

An explanation has the policies that decided, where they stand, and, for a denial, the near misses: permits
about that action, each with those of its conditions that do not hold. Each condition is put to the engine by
itself (``CedarEngine.evaluate``); a permit whose conditions all hold was overruled by a forbid.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .cedar import CedarEngine, render
from .cedar_loading import Source
from .conditions import Condition, conditions, mentions
from .decide import Decided, InForce
from .mapping import MappingError, build_query
from .rehearsal import Question, decide_on


class Unmet(NamedTuple):
    """A condition that does not hold, in Cedar's words, and why it could not be evaluated, if that is so."""

    condition: str
    error: str | None


class NearMiss(NamedTuple):
    """A permit that did not come to apply, and the conditions that it lacked. None lacking: a forbid overruled it."""

    source: Source
    unmet: tuple[Unmet, ...]

    def sentence(self) -> str:
        """Return what would have to be otherwise, in one line."""
        if not self.unmet:
            return f"permit {self.source.policy.id} applies, and is overruled"
        parts = [one.condition if one.error is None else f"{one.condition} ({one.error})" for one in self.unmet]
        return f"permit {self.source.policy.id} would apply but for: {'; '.join(parts)}"


class Explanation(NamedTuple):
    """A decision, the policies that determined it, and the near misses, the nearest first."""

    decided: Decided
    determining: tuple[Source, ...]
    near: tuple[NearMiss, ...]


def explain(question: Question, policy: InForce, engine: CedarEngine) -> Explanation:
    """Return why a question is answered as it is. ``engine`` is that of ``policy``, which ``publish.load_set`` made.

    Raises ``MalformedError`` for a descriptor that is not one.
    """
    decided = decide_on(question, policy)
    determining = tuple(source for source in engine.sources if source.policy in decided.answer.determining)
    near = () if decided.record.outcome != "deny" else tuple(near_misses(question, policy, engine))
    return Explanation(decided, determining, near)


def near_misses(question: Question, policy: InForce, engine: CedarEngine) -> Sequence[NearMiss]:
    """Return the permits that a denied question came near to, the nearest first."""
    permits = [source for source in engine.sources if source.policy.effect == "permit"]
    asked = {source.policy.id: conditions(source.tree) for source in permits}
    try:
        query = build_query(
            question.descriptor,
            requester=question.requester,
            claims=question.claims,
            now=question.now,
            rules=policy.rules,
            entity_types=engine.entity_types,
        )
        held = iter(engine.evaluate(query, [condition for source in permits for condition in asked[source.policy.id]]))
    except (MappingError, ValueError):
        # There is no question to the engine, or none under the schema: then no policy is near.
        return []
    found: list[NearMiss] = []
    for source in permits:
        results = [(condition, next(held)) for condition in asked[source.policy.id]]
        if any(result is False and _is_about_action(condition) for condition, result in results):
            continue
        found.append(NearMiss(source, tuple(_unmet(results))))
    return sorted(found, key=lambda near: len(near.unmet))


def _is_about_action(condition: Condition) -> bool:
    return mentions(condition, "action") and not mentions(condition, "context")


def _unmet(results: Sequence[tuple[Condition, bool | str]]) -> list[Unmet]:
    """Return what does not hold. Behind the first of them an error is no news: it would not have been reached."""
    unmet: list[Unmet] = []
    for condition, result in results:
        if result is False:
            unmet.append(Unmet(render(condition), None))
        elif isinstance(result, str) and not unmet:
            unmet.append(Unmet(render(condition), result))
    return unmet
