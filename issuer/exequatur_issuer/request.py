"""Requests: "I intend to do this, there, under these conditions", signed by whoever intends it (specs/01 §2).

The statement names the action by its salted commitment only; descriptor and salt go to the authority beside
it. With full disclosure both stand in the log for everyone, and can never be erased there.
"""

from collections.abc import Mapping
from typing import Any, Literal

from exequatur_verifier import action, statement
from exequatur_verifier.action import Descriptor
from exequatur_verifier.records import Action, Disclosed, Link, Request
from exequatur_verifier.signing import Signer
from exequatur_verifier.statement import Claims

Disclosure = Literal["commitment", "full"]


def sign_request(
    descriptor: Descriptor,
    signer: Signer,
    *,
    iss: str,
    audience: str,
    subject: str,
    unique: bytes,
    salt: bytes,
    now: int,
    claims: Mapping[str, Any] | None = None,
    ttl: int | None = None,
    uses: int | None = None,
    disclosure: Disclosure = "commitment",
    parent: bytes | None = None,
) -> bytes:
    """Return the signed request for an action on the runtime that ``audience`` names.

    ``subject`` is the execution's URN (``urn:uuid:…``, random), ``unique`` (cti) and ``salt`` are 16 random
    bytes each, made for this one execution; ``now`` and ``ttl`` are in seconds. ``claims`` are conditions for
    which the requester vouches; policies read them, so nothing that an agent says belongs there. ``ttl`` and
    ``uses`` only narrow what policy grants. ``parent`` is the record id of the grant that this is asked under, whose
    holder signs. Raises ``MalformedError`` for a descriptor that is not one, and
    ``ValueError`` for anything else that the profile does not hold.
    """
    encoded = action.encode(descriptor)
    record = Request(
        links=() if parent is None else (Link("parent", parent),),
        action=Action(descriptor["type"], action.commitment(action.ACTION_TAG, salt, encoded)),
        audience=audience,
        claims=claims or {},
        ttl=ttl,
        uses=uses,
        disclosed=Disclosed(salt, encoded) if disclosure == "full" else None,
    )
    return statement.sign(record, Claims(iss, subject, now, unique), signer)
