"""What waits for approval, as the service needs it of whoever keeps it, and as it is shown.

An approver signs a digest, so it is shown what that digest is taken over, and nothing that was put beside it: the
encoded descriptor with its salt, and what it says in JSON. The JSON is ASCII; every control, direction mark and
look-alike letter in it is an escape.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from exequatur_verifier import action


class Pending(NamedTuple):
    """A request that waits for approvals.

    ``request`` is its record id, ``salt`` and ``encoded`` what its commitment is taken over, ``wanted`` how many
    approvals it needs and ``given`` who has approved. Times are in unix seconds.
    """

    request: bytes
    subject: str
    requester: str
    audience: str
    claims: Mapping[str, Any]
    salt: bytes
    encoded: bytes
    since: int
    wanted: int
    given: tuple[str, ...] = ()


class Approvals(Protocol):
    """Whoever keeps what waits. Every call comes from the desk's thread."""

    def pending(self, approver: str) -> Sequence[Pending]:
        """Return what waits for this approver, by its ``iss``, the oldest first."""
        ...


def summary(pending: Pending) -> dict[str, Any]:
    """Return one line of the queue."""
    return {
        "request": pending.request.hex(),
        "subject": pending.subject,
        "requester": pending.requester,
        "audience": pending.audience,
        "commitment": _commitment(pending).hex(),
        "since": pending.since,
        "wanted": pending.wanted,
        "given": list(pending.given),
        "location": f"/approvals/{pending.request.hex()}",
    }


def whole(pending: Pending) -> dict[str, Any]:
    """Return a request with the very bytes that its commitment is taken over, and what they say."""
    return {
        **summary(pending),
        "claims": as_json(pending.claims),
        "salt": base64url(pending.salt),
        "encoded": base64url(pending.encoded),
        "action": as_json(action.decode(pending.encoded)),
    }


def as_json(value: Any) -> Any:
    """Return a value of the profile in JSON's types. Bytes are an object, and so is a map with other keys than text."""
    if isinstance(value, bytes):
        try:
            return {"bytes": base64url(value), "text": value.decode()}
        except UnicodeDecodeError:
            return {"bytes": base64url(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: as_json(item) for key, item in value.items()}
        return {"entries": [[as_json(key), as_json(item)] for key, item in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": repr(value)}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value


def base64url(data: bytes) -> str:
    """Return base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _commitment(pending: Pending) -> bytes:
    return action.commitment(action.ACTION_TAG, pending.salt, pending.encoded)
