"""What hypothesis draws: values of the encoding, matchers, records of every kind."""

import contextlib
import unicodedata
from typing import Any, Final

from hypothesis import strategies as st

from exequatur_verifier import MalformedError, cbor, records
from exequatur_verifier.cbor import MAX_DEPTH
from exequatur_verifier.constraints import FACTS, Constraints, Limits, Process, Sandbox, Terms
from exequatur_verifier.keys import Algorithm
from exequatur_verifier.match import Matcher, Operator
from exequatur_verifier.records import (
    Action,
    Disclosed,
    Engine,
    Epoch,
    Head,
    Kind,
    Link,
    Registration,
    Resources,
    StatusEntry,
)
from exequatur_verifier.statement import Claims
from tests.support import world

Drawn = st.SearchStrategy[Any]


def _form_c(text: str) -> str:
    return unicodedata.normalize("NFC", text)


any_text: Final = st.text(st.characters(codec="utf-8"), max_size=20).map(_form_c)
printable: Final = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
words: Final = st.text(printable, min_size=1, max_size=12).map(_form_c)
lines: Final = st.text(printable | st.just(" "), min_size=1, max_size=20).map(_form_c)
urns: Final = words.map("urn:example:{}".format)
digests: Final = st.binary(min_size=32, max_size=32)
salts: Final = st.binary(min_size=16, max_size=16)
uints: Final = st.integers(0, 2**63 - 1)
integers: Final = st.integers(-(2**63), 2**64 - 1)
keys: Final = integers | st.binary(max_size=8) | any_text


def values(scalars: Drawn = st.nothing()) -> Drawn:  # noqa: B008  # a strategy is a value, and never changed
    """Return values of the signed profile, with further scalars if given."""
    leaves = st.none() | st.booleans() | integers | st.binary(max_size=40) | any_text | scalars
    return st.recursive(
        leaves, lambda item: st.lists(item, max_size=4) | st.dictionaries(keys, item, max_size=4), max_leaves=MAX_DEPTH
    )


floats: Final = st.floats(allow_nan=False, allow_infinity=False)


def several(item: Drawn) -> Drawn:
    """Return tuples of few items."""
    return st.lists(item, max_size=3).map(tuple)


paths: Final = st.lists(words.filter(lambda word: "/" not in word and word not in (".", "..")), max_size=3).map(
    lambda steps: "/" + "/".join(steps)
)
matchers: Final = st.one_of(
    st.builds(Matcher, st.just(Operator.EXACT), values()),
    st.builds(Matcher, st.just(Operator.ONE_OF), several(values())),
    st.builds(Matcher, st.sampled_from((Operator.PREFIX, Operator.GLOB)), lines),
    st.builds(Matcher, st.just(Operator.SUBPATH), paths),
    st.builds(
        Matcher,
        st.just(Operator.RANGE),
        st.tuples(*(st.none() | st.integers(-(2**63), 2**63 - 1) for _ in range(2))),
    ),
    st.builds(Matcher, st.just(Operator.URL_HOST), several(lines)),
)


def maybe(item: Drawn) -> Drawn:
    """Return the item or ``None``."""
    return st.none() | item


def _bounds(cls: Any) -> Drawn:
    return st.builds(cls, *(maybe(uints) for _ in cls._fields))


constraints: Final = st.builds(
    Constraints,
    st.dictionaries(lines.map(lambda line: "/" + line), matchers, max_size=3),
    st.builds(
        Process,
        maybe(several(digests)),
        maybe(several(lines)),
        maybe(several(uints)),
        st.sampled_from(("sealed", "path")),
        st.sampled_from(("sealed", "path")),
    ),
    st.builds(Sandbox, *(maybe(several(paths)) for _ in range(3)), maybe(several(uints)), several(lines)),
    _bounds(Limits),
    maybe(uints),
)
_facts = st.dictionaries(st.sampled_from(sorted(FACTS)), digests, max_size=3).map(
    lambda facts: {name: "host" if name == "host" else value for name, value in facts.items()}
)
terms: Final = st.builds(Terms, constraints, _facts)

_keys = st.sampled_from([world.signer("some", algorithm).public_key for algorithm in Algorithm])
_key_maps = _keys.map(lambda key: cbor.decode_map(key.encoded))
_links = several(st.builds(Link, lines, digests))
_actions = st.builds(Action, lines, digests)
_disclosed = maybe(st.builds(Disclosed, salts, st.binary(max_size=9)))
_epochs = st.builds(Epoch, urns, uints)
_resources = st.builds(Resources, *(uints for _ in Resources._fields))
_sequence = {"links": _links, "seq": uints, "prev": maybe(digests)}


def _words(*words: str) -> Drawn:
    return st.sampled_from(words)


RECORDS: Final[dict[Kind, Drawn]] = {
    Kind.REQUEST: st.builds(
        records.Request,
        links=_links,
        action=_actions,
        audience=lines,
        claims=st.dictionaries(lines, values(), max_size=3),
        ttl=maybe(uints),
        uses=maybe(uints),
        disclosed=_disclosed,
    ),
    Kind.DECISION: st.builds(
        records.Decision,
        links=_links,
        outcome=_words("allow", "deny", "needs-approval"),
        reasons=several(lines),
        errors=several(any_text),
        engine=st.builds(Engine, lines, lines),
        query=maybe(digests),
        now=uints,
        code=maybe(lines),
    ),
    Kind.AUTHORIZATION: st.builds(
        records.Authorization,
        links=_links,
        form=_words("action", "grant"),
        mode=_words("enforce", "observe", "break-glass"),
        action=_actions,
        terms=digests,
        uses=uints,
        epoch=_epochs,
        approvals=maybe(uints),
        depth=maybe(uints),
        status=maybe(st.builds(StatusEntry, urns, uints)),
        disclosed=_disclosed,
    ),
    Kind.VERIFICATION: st.builds(
        records.Verification,
        **_sequence,
        steps=several(st.tuples(uints, lines)),
        facts=digests,
        heads=several(st.builds(Head, lines, uints, digests)),
        trust=digests,
        enforcement=several(lines),
        gate=_words("protected", "unprotected"),
        use=uints,
    ),
    Kind.OUTCOME: st.builds(
        records.Outcome,
        **_sequence,
        status=_words("exited", "signaled", "killed", "failed", "orphaned", "not-executed"),
        started_ms=maybe(uints),
        ended_ms=maybe(uints),
        code=maybe(st.integers(-(2**63), 2**63 - 1)),
        signal=maybe(uints),
        stdout=maybe(digests),
        stderr=maybe(digests),
        resources=maybe(_resources),
        violations=several(lines),
        detail=maybe(any_text),
    ),
    Kind.ENFORCEMENT: st.builds(
        records.Enforcement,
        **_sequence,
        action=_words("deny", "kill", "revoke", "quarantine", "break-glass", "gap"),
        code=lines,
        step=maybe(uints),
        detail=maybe(any_text),
        latency_us=maybe(uints),
        times=uints,
        about=maybe(digests),
    ),
    Kind.POLICY: st.builds(
        records.Policy,
        links=_links,
        set=urns,
        epoch=uints,
        engine=lines,
        sources=digests,
        schema=digests,
        entities=digests,
        mapping=digests,
        activation=uints,
        approvals=uints,
    ),
    Kind.APPROVAL: st.builds(
        records.Approval,
        links=_links,
        commitment=digests,
        scope=_words("once", "uses", "until", "task"),
        uses=uints,
    ),
    Kind.STATUS: st.builds(
        records.Status,
        links=_links,
        list=urns,
        version=uints,
        next_update=uints,
        bits=uints,
        packed=st.binary(max_size=40),
        subjects=several(lines),
        policies=several(digests),
        keys=several(digests),
        epochs=several(_epochs),
    ),
    Kind.ENROLMENT: st.builds(
        records.Enrolment,
        links=_links,
        form=_words("genesis", "key", "log-keys", "registration"),
        iss=maybe(lines),
        key=maybe(_key_maps),
        kinds=several(st.sampled_from(Kind)),
        actions=several(lines),
        since=uints,
        until=maybe(uints),
        origin=maybe(lines),
        receipt_keys=several(_key_maps),
        checkpoint_keys=several(lines),
        registration=maybe(st.builds(Registration, uints, uints)),
    ),
}


def _claims(kind: Kind) -> Drawn:
    # Fields that are not named would be drawn as their types say.
    further: dict[str, Drawn] = dict.fromkeys(("aud", "exp", "nbf", "cnf"), st.none())
    if kind is Kind.AUTHORIZATION:
        further |= {"aud": lines, "exp": uints, "nbf": uints, "cnf": _keys.map(lambda key: key.encoded)}
    elif kind is Kind.APPROVAL:
        further |= {"exp": uints}
    return st.builds(Claims, iss=lines, sub=urns, iat=uints, cti=salts, **further)


# Claims as a statement of each kind carries them.
CLAIMS: Final = {kind: _claims(kind) for kind in Kind}


def replaced(data: st.DataObject, node: Any, depth: int = 0) -> Any:
    """Return a value with another one in one place, also within byte strings that hold an encoding."""
    if isinstance(node, bytes) and depth and data.draw(st.booleans()):
        tag = node[:1] if node[:1] == b"\xd2" else b""
        with contextlib.suppress(MalformedError):
            return tag + cbor.encode(replaced(data, cbor.decode(node[len(tag) :]), depth + 1))
    if isinstance(node, dict | list) and node and data.draw(st.integers(0, 4)):
        place = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        copy: Any = dict(node) if isinstance(node, dict) else list(node)
        copy[place] = replaced(data, copy[place], depth + 1)
        return copy
    return data.draw(values())
