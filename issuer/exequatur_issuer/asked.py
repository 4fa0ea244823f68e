"""What the authority is asked: a request with what opens it, and the first look at it (specs/09 §1).

Nothing is logged or signed for a request that is not whole, not for this runtime, or for nothing at all.
"""

from collections.abc import Mapping
from typing import NamedTuple

from exequatur_verifier import constraints, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.constraints import Constraints, Terms
from exequatur_verifier.errors import MalformedError, UnsupportedError
from exequatur_verifier.keys import PublicKey
from exequatur_verifier.records import Head
from exequatur_verifier.statement import Statement

from .decide import RequestMismatchError, open_request


class RuntimeIdentity(NamedTuple):
    """The runtime that an artifact is for: its id, its key as an encoded COSE_Key, and heads it may remember.

    Consistency proofs are stapled from those heads, besides the ones of its last 16 authorizations.
    """

    id: str
    key: bytes
    heads: tuple[Head, ...] = ()


class Asked(NamedTuple):
    """A request statement with what opens it, and what the artifact is to say.

    ``facts`` are measured values by name (``constraints.FACTS``), empty for what is not measured here. ``ttl``
    (seconds) and ``uses`` only narrow what policy grants.
    """

    request: bytes
    salt: bytes
    descriptor: Descriptor
    facts: Mapping[str, bytes | str]
    runtime: RuntimeIdentity
    ttl: int | None = None
    uses: int | None = None


class Refused(NamedTuple):
    """No artifact: a code, what happened, the id of the logged decision if there is one, and sentences that say why.

    ``approvals`` is how many approvals of the request ``request`` are needed, where that is what is missing.
    """

    code: str
    detail: str
    decision: bytes | None = None
    explanation: tuple[str, ...] = ()
    request: bytes | None = None
    approvals: int = 0


class Case(NamedTuple):
    """A request whose descriptor is the one it commits to; where it stands, once it is logged, and approvals of it."""

    asked: Asked
    request: Statement
    leaf_index: int = -1
    approvals: tuple[Statement, ...] = ()


def open_asked(asked: Asked) -> Case | Refused:
    """Return the opened request, or why it cannot be answered. Its signature is not checked; the log does that."""
    try:
        request = statement.parse(asked.request)
        record = open_request(request, asked.salt, asked.descriptor)
        constraints.decode_terms(constraints.encode_terms(Terms(Constraints(), asked.facts)))
        PublicKey.from_cose(asked.runtime.key)
    except RequestMismatchError as error:
        return Refused("ACTION_MISMATCH", str(error))
    except UnsupportedError as error:
        return Refused("UNSUPPORTED", str(error))
    except (MalformedError, ValueError) as error:
        return Refused("MALFORMED", str(error))
    if record.links:
        return Refused("UNSUPPORTED", "delegated requests come with a later version; make one without a parent")
    if record.audience != asked.runtime.id:
        return Refused("AUDIENCE_MISMATCH", f"the request is for {record.audience}, not for {asked.runtime.id}")
    if 0 in (record.ttl, record.uses, asked.ttl, asked.uses):
        return Refused("MALFORMED", "a request for zero uses or zero seconds asks for nothing")
    return Case(asked, request)
