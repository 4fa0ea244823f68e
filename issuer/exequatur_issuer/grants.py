"""Grants: permission to ask for permission, which only gets narrower on its way down (specs/09 §11).

    request    {type: exequatur.grant, name: the type of action, resource: the audience,
                args: {constraints, depth, holder}}
    grant      an authorization of form "grant", bound to the holder's key; its terms are those constraints, no wider
               than policy's, and always name the type of action
    child      a request that links the grant, signed with the holder's key; its artifact has the constraints of the
               grant and of policy together, all facts of the grant, a window within its, and no more uses

What is asked for below a grant and would be wider is refused before anything is logged, with the field that is.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from exequatur_verifier import action, cbor, constraints, shape, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.bundle import MAX_CHAIN
from exequatur_verifier.constraints import FROM_PATH, SEALED, Constraints, Facts, Limits, Process, Sandbox, Terms
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.match import is_subset as matcher_is_subset
from exequatur_verifier.records import Authorization, Request
from exequatur_verifier.statement import Statement

from .approvals import GRANT, Find, chain
from .content import ContentStore
from .obligations import common_paths

TYPE: Final = "/type"
_ARGS: Final = {"constraints", "depth", "holder"}
_NESTED: Final[Mapping[str, Any]] = {"process": Process, "sandbox": Sandbox, "limits": Limits}


class GrantError(ExequaturError):
    """What is asked for below a grant is not within it, or there is no such grant: what, and what to do."""


class Wish(NamedTuple):
    """What a request for a grant asks for: the type of action, who is to hold it, how many more grants below."""

    covers: str
    holder: PublicKey
    depth: int
    constraints: Constraints


class Above(NamedTuple):
    """A grant above a request, with what opens its terms, and the statement of the request that it answers."""

    signed: Statement
    record: Authorization
    salt: bytes
    encoded: bytes
    terms: Terms
    asked: bytes | None

    @property
    def covers(self) -> str:
        """The type of action that it covers."""
        return str(self.terms.constraints.args[TYPE].operand)


def descriptor_of(wish: Wish, audience: str) -> Descriptor:
    """Return the action of asking for a grant, on the runtime that ``audience`` names."""
    asked = {
        "constraints": shape.plain(wish.constraints),
        "depth": wish.depth,
        "holder": wish.holder.encoded,
    }
    return {"type": GRANT, "name": wish.covers, "resource": audience, "args": asked}


def read(descriptor: Descriptor) -> Wish:
    """Return what a request for a grant asks for; raise ``MalformedError``."""
    args = descriptor["args"]
    if set(args) != _ARGS:
        raise MalformedError(f"a request for a grant has the arguments {', '.join(sorted(_ARGS))}")
    covers = shape.text(descriptor["name"])
    if covers == GRANT:
        raise MalformedError("a grant covers actions; how many more grants may stand below it is its depth")
    try:
        encoded = cbor.encode({"constraints": args["constraints"]})
    except (ValueError, UnicodeEncodeError) as error:
        raise MalformedError(f"the constraints of a grant: {error}") from None
    depth = shape.uint(args["depth"])
    if depth >= MAX_CHAIN:
        raise MalformedError(f"at most {MAX_CHAIN} grants stand above an action, so a depth is below that")
    wished = constraints.decode_terms(encoded).constraints
    if TYPE in wished.args and wished.args[TYPE] != _exact(covers):
        raise MalformedError(f"the constraints name another type of action than {covers}")
    return Wish(covers, PublicKey.from_cose(shape.octets(args["holder"])), depth, wished)


def lines(wish: Wish) -> list[str]:
    """Return the constraints that a grant is asked for, each as a line of text: what policies can ask about.

    ``/name subpath "/usr/bin"``, ``limits.wall_ms 30000``, ``sandbox.read "/usr"``: one for each value.
    """
    asked = wish.constraints
    found = [f"{pointer} {matcher.operator.value} {_spell(matcher.operand)}" for pointer, matcher in asked.args.items()]
    for name in _NESTED:
        for field, value in shape.plain(getattr(asked, name)).items():
            values = value if isinstance(value, list) else [value]
            found += (f"{name}.{field} {_spell(item)}" for item in values) if values else [f"{name}.{field} nothing"]
    if asked.lease_s is not None:
        found.append(f"lease_s {asked.lease_s}")
    return sorted(found)


def _spell(value: Any) -> str:
    def plain(item: Any) -> Any:
        return (
            item.hex()
            if isinstance(item, bytes)
            else [plain(one) for one in item]
            if isinstance(item, list | tuple)
            else item
        )

    return json.dumps(plain(value), ensure_ascii=False)


def open_chain(request: Statement, find: Find, content: ContentStore, now: int) -> tuple[Above, ...]:
    """Return the grants above a request, the nearest first; none for one that is not delegated.

    ``find`` returns a logged statement by its record id. Raises ``GrantError`` where the nearest is no grant of the
    request's signer, for its runtime, at ``now``, and ``ContentError`` for terms that were erased.
    """
    record = request.record
    assert isinstance(record, Request)
    if not record.links:
        return ()
    found = [_open(signed, find, content) for signed in chain(request, find)]
    if not found:
        raise GrantError(f"the parent {record.links[0].id.hex()} is not in this log")
    if len(found) > MAX_CHAIN:
        raise GrantError(f"more than {MAX_CHAIN} grants above a request; ask for one nearer to the first")
    _check_holder(request, found[0], now)
    return tuple(found)


def check_below(grant: Above, descriptor: Descriptor, facts: Mapping[str, bytes | str]) -> None:
    """Check that an action, or a request for a grant, is within the grant above it; raise ``GrantError``."""
    kind = descriptor["type"]
    if kind == GRANT:
        wish = read(descriptor)
        if wish.covers != grant.covers:
            raise GrantError(f"the grant covers {grant.covers}, not {wish.covers}")
        least = (grant.record.depth or 0) - 1
        if wish.depth > least:
            allowed = f"a depth of at most {least}" if least >= 0 else "actions only"
            raise GrantError(f"depth {wish.depth} is wider than the grant, which leaves {allowed}")
        wide = list(wider(filled(wish.constraints, grant.terms.constraints), grant.terms.constraints))
        if wide:
            raise GrantError(f"wider than the grant in {', '.join(wide)}; ask for no more than it has")
        return
    if kind != grant.covers:
        raise GrantError(f"the grant covers {grant.covers}, not {kind}")
    broken = list(constraints.violations(grant.terms.constraints, descriptor, Facts(facts)))
    if broken:
        raise GrantError(f"not within the grant: {'; '.join(broken)}")


def facts_below(grant: Above, facts: Mapping[str, bytes | str]) -> dict[str, bytes | str]:
    """Return the facts of what stands below a grant: its own, and the grant's; raise ``GrantError`` if they differ."""
    for name, value in grant.terms.facts.items():
        if facts.get(name, value) != value:
            raise GrantError(f"the grant names another {name} than was measured")
    return {**grant.terms.facts, **facts}


def wished(descriptor: Descriptor, grant: Above | None) -> Constraints:
    """Return the constraints that a request for a grant asks for, with all that the grant above it has."""
    wish = read(descriptor)
    named = wish.constraints._replace(args={**wish.constraints.args, TYPE: _exact(wish.covers)})
    return named if grant is None else filled(named, grant.terms.constraints)


def meet(one: Constraints, other: Constraints) -> Constraints:
    """Return constraints that are a subset of both. Raises ``GrantError`` for two matchers of which neither is."""
    args = dict(one.args)
    for pointer, matcher in other.args.items():
        args[pointer] = _narrower(pointer, args[pointer], matcher) if pointer in args else matcher
    return Constraints(
        args=args,
        process=Process(
            executables=_shared(one.process.executables, other.process.executables),
            env=_shared(one.process.env, other.process.env),
            uid=_shared(one.process.uid, other.process.uid),
            image=_stronger(one.process.image, other.process.image),
            script=_stronger(one.process.script, other.process.script),
        ),
        sandbox=Sandbox(
            read=_both(one.sandbox.read, other.sandbox.read, common_paths),
            write=_both(one.sandbox.write, other.sandbox.write, common_paths),
            execute=_both(one.sandbox.execute, other.sandbox.execute, common_paths),
            ports=_shared(one.sandbox.ports, other.sandbox.ports),
            require=tuple(sorted({*one.sandbox.require, *other.sandbox.require})),
        ),
        limits=Limits(*(_both(low, high, min) for low, high in zip(one.limits, other.limits, strict=True))),
        lease_s=_both(one.lease_s, other.lease_s, min),
    )


def filled(child: Constraints, parent: Constraints) -> Constraints:
    """Return ``child`` with the parent's fields where it leaves them open; what it names stays, wider or not."""

    def fill(low: Any, high: Any) -> Any:
        return high if low is None else low

    sandbox = Sandbox(*map(fill, child.sandbox, parent.sandbox))
    required = {*child.sandbox.require, *parent.sandbox.require}
    return Constraints(
        args={**parent.args, **child.args},
        process=Process(*map(fill, child.process, parent.process)),
        sandbox=sandbox._replace(require=tuple(sorted(required))),
        limits=Limits(*map(fill, child.limits, parent.limits)),
        lease_s=fill(child.lease_s, parent.lease_s),
    )


def wider(child: Constraints, parent: Constraints) -> Iterator[str]:
    """Yield the name of each field in which ``child`` admits what ``parent`` does not, as far as that can be told."""
    for pointer, matcher in parent.args.items():
        if pointer not in child.args or not matcher_is_subset(child.args[pointer], matcher):
            yield f"args {pointer}"
    for name, cls in _NESTED.items():
        for field in cls._fields:
            low, high = (
                Constraints()._replace(**{name: cls()._replace(**{field: getattr(getattr(one, name), field)})})
                for one in (child, parent)
            )
            if not constraints.is_subset(low, high):
                yield f"{name}.{field}"
    if not constraints.is_subset(Constraints(lease_s=child.lease_s), Constraints(lease_s=parent.lease_s)):
        yield "lease_s"


def _open(signed: Statement, find: Find, content: ContentStore) -> Above:
    record = signed.record
    if not isinstance(record, Authorization) or record.form != "grant":
        raise GrantError(f"the parent {signed.id.hex()} is no grant; only a grant is delegated")
    preimage = content.get(record.terms)
    end = len(action.TERMS_TAG) + action.SALT_SIZE
    terms = constraints.decode_terms(preimage[end:])
    covered = terms.constraints.args.get(TYPE)
    if covered is None or covered.operator is not Operator.EXACT:
        raise GrantError(f"the grant {signed.id.hex()} does not say which type of action it covers")
    asked = next((find(link.id) for link in record.links if link.relation == "request"), None)
    return Above(signed, record, preimage[len(action.TERMS_TAG) : end], preimage[end:], terms, asked)


def _check_holder(request: Statement, nearest: Above, now: int) -> None:
    record, claims = request.record, nearest.signed.claims
    assert isinstance(record, Request)
    assert claims.cnf is not None
    assert claims.nbf is not None
    assert claims.exp is not None
    holder = PublicKey.from_cose(claims.cnf)
    if holder.thumbprint != request.key_id:
        raise GrantError(f"only its holder asks under a grant; sign with the key {holder.thumbprint.hex()}")
    try:
        statement.verify(request, holder)
    except ExequaturError as error:
        raise GrantError(f"the request under a grant: {error}") from None
    if claims.aud != record.audience:
        raise GrantError(f"the grant is for {claims.aud}, not for {record.audience}")
    if not claims.nbf <= now < claims.exp:
        raise GrantError(f"the grant is in force from {claims.nbf} to {claims.exp}; ask for a new one")


def _exact(value: Any) -> Matcher:
    return Matcher(Operator.EXACT, value)


def _narrower(pointer: str, one: Matcher, other: Matcher) -> Matcher:
    if matcher_is_subset(one, other):
        return one
    if matcher_is_subset(other, one):
        return other
    raise GrantError(f"two limits on {pointer}, of which neither is within the other")


def _stronger(one: str, other: str) -> str:
    return FROM_PATH if one == other == FROM_PATH else SEALED


def _shared(one: Any, other: Any) -> Any:
    return _both(one, other, lambda left, right: tuple(sorted(set(left) & set(right))))


def _both(one: Any, other: Any, join: Callable[[Any, Any], Any]) -> Any:
    """Return what holds of both; ``None`` leaves a field free."""
    if one is None or other is None:
        return other if one is None else one
    return join(one, other)
