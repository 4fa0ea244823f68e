"""Policy sets as logged statements: published by their owner, loaded by digest (specs/09 §8).

    publish   a policy set that loads  ->  its parts in the content store, and the signed record of their digests
    load      a record                 ->  the loaded set that it names, every part hashed again

Which of the published epochs holds, and who else must sign it, is in ``epochs``. So what the authority decides
under is what its owners signed and the log proves, never what happens to lie in a directory.
"""

from collections.abc import Iterable
from typing import Final

from exequatur_verifier import shape, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Link, Policy
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims, Statement
from exequatur_verifier.trust import PolicyTrust

from . import lint, obligations
from .cedar import CedarEngine
from .content import ContentStore
from .decide import InForce
from .epochs import in_force
from .obligations import ObligationError
from .policyset import PolicySet, PolicySetError
from .rules import Rules, check_enums, parse_rules

# A decision lists its determining policies, and a list in a record holds no more.
_MOST_POLICIES: Final = 1024


def load_set(policy_set: PolicySet) -> tuple[CedarEngine, Rules]:
    """Return a policy set ready to decide. Raises ``PolicySetError``, naming file or policy.

    Refused beside what ``cedar`` and ``rules`` refuse: obligations that could not be obeyed, and ids that a
    decision record could not name.
    """
    engine = CedarEngine(policy_set)
    try:
        obligations.check(engine.policies)
        for policy in engine.policies:
            shape.text(policy.id)
    except (ObligationError, MalformedError) as error:
        raise PolicySetError("sources", 0, str(error)) from None
    if len(engine.policies) > _MOST_POLICIES:
        raise PolicySetError("sources", 0, f"more than {_MOST_POLICIES} policies")
    rules = parse_rules(policy_set.mapping)
    check_enums(rules, engine.enumerations)
    return engine, rules


def publish(
    policy_set: PolicySet,
    signer: Signer,
    content: ContentStore,
    *,
    name: str,
    iss: str,
    previous: Statement | None,
    now: int,
    activation: int | None = None,
    unique: bytes,
    approvals: int = 0,
) -> bytes:
    """Store the parts of a policy set and return its signed record, for the log to register.

    ``name`` is the URN of the set; ``previous`` is its newest record in the log, ``None`` for the first.
    ``activation`` (unix seconds, ``now`` by default) is when it comes into force. ``unique`` is 16 random
    bytes. ``approvals`` is how many approvals the owner demands of everything it permits. Raises
    ``PolicySetError`` for a set that does not load or has a policy that can never apply, and ``ValueError`` for a
    ``previous`` of another set.
    """
    engine, _ = load_set(policy_set)
    lint.check(engine)
    links: tuple[Link, ...] = ()
    epoch = 1
    if previous is not None:
        former = previous.record
        if not isinstance(former, Policy) or former.set != name:
            raise ValueError(f"record {previous.id.hex()} is no policy record of {name}")
        links, epoch = (Link("previous", previous.id),), former.epoch + 1
    content.put_many(policy_set)
    record = Policy(
        links=links,
        set=name,
        epoch=epoch,
        engine=engine.name,
        activation=now if activation is None else activation,
        approvals=approvals,
        **policy_set.digests(),
    )
    # All epochs of a set share its name as their subject, so that the log shows them as one series.
    return statement.sign(record, Claims(iss, name, now, unique), signer)


def parts(policy: Statement, content: ContentStore) -> PolicySet:
    """Return the parts that a policy record names, hashed again. Raises ``ContentError``, and what ``load`` raises."""
    record = policy.record
    if not isinstance(record, Policy):
        raise MalformedError(f"a {policy.kind.value} record names no policy set")
    if record.engine != CedarEngine.name:
        raise MalformedError(f"policy {policy.id.hex()} is for the engine {record.engine!r}; this build has cedar")
    return PolicySet(*map(content.get, (record.sources, record.schema, record.entities, record.mapping)))


def load(policy: Statement, content: ContentStore) -> InForce:
    """Return the policy set that a record names, loaded from the content store.

    Raises ``ContentError`` for parts that are missing or damaged, ``PolicySetError`` for a set that this
    build cannot load, and ``MalformedError`` for a record of another kind or for another engine.
    """
    engine, rules = load_set(parts(policy, content))
    return InForce(policy, engine, rules)


def load_in_force(
    records: Iterable[Statement], content: ContentStore, name: str, now: int, trust: PolicyTrust | None = None
) -> InForce:
    """Return the policy set in force, loaded. Takes and raises what ``epochs.in_force`` and ``load`` do."""
    found = in_force(records, name, now, trust)
    return load(found.statement, content)._replace(endorsements=found.endorsements)
