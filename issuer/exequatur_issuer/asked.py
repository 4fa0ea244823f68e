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
from exequatur_verifier.records import Head, Request
from exequatur_verifier.statement import Statement

from . import grants
from .approvals import GRANT
from .decide import RequestMismatchError, open_request
from .grants import Above
from .modes import NO_MODES, Modes
from .modes import fault as modes_fault


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
    """A request whose descriptor is the one it commits to; where it stands, once it is logged, and approvals of it.

    ``grants`` are those above it, the nearest first, and ``above`` is what they were approved by.
    """

    asked: Asked
    request: Statement
    leaf_index: int = -1
    approvals: tuple[Statement, ...] = ()
    grants: tuple[Above, ...] = ()
    above: tuple[Statement, ...] = ()

    @property
    def record(self) -> Request:
        """The request's record."""
        record = self.request.record
        assert isinstance(record, Request)
        return record

    @property
    def holder(self) -> bytes:
        """The key that its artifact will be bound to, encoded: the runtime's, or that of who is to hold the grant."""
        asked = self.asked
        return grants.read(asked.descriptor).holder.encoded if self.is_grant else asked.runtime.key

    @property
    def is_grant(self) -> bool:
        """Whether a grant is asked for."""
        return bool(self.record.action.type == GRANT)


def open_asked(asked: Asked, modes: Modes = NO_MODES) -> Case | Refused:
    """Return the opened request, or why it cannot be answered. Its signature is not checked; the log does that.

    ``modes`` are those that the authority permits. What stands above a delegated request is not looked at yet.
    """
    try:
        request = statement.parse(asked.request)
        record = open_request(request, asked.salt, asked.descriptor)
        constraints.decode_terms(constraints.encode_terms(Terms(Constraints(), asked.facts)))
        PublicKey.from_cose(asked.runtime.key)
        if record.action.type == GRANT:
            grants.read(asked.descriptor)
    except RequestMismatchError as error:
        return Refused("ACTION_MISMATCH", str(error))
    except UnsupportedError as error:
        return Refused("UNSUPPORTED", str(error))
    except (MalformedError, ValueError) as error:
        return Refused("MALFORMED", str(error))
    if record.audience != asked.runtime.id:
        return Refused("AUDIENCE_MISMATCH", f"the request is for {record.audience}, not for {asked.runtime.id}")
    if record.action.type == GRANT and asked.descriptor["resource"] != record.audience:
        return Refused("AUDIENCE_MISMATCH", f"the grant is for {asked.descriptor['resource']}, not {record.audience}")
    wrong = modes_fault(record, modes)
    if wrong is not None:
        return Refused("MODE_NOT_PERMITTED", wrong)
    if 0 in (record.ttl, record.uses, asked.ttl, asked.uses):
        return Refused("MALFORMED", "a request for zero uses or zero seconds asks for nothing")
    return Case(asked, request)
