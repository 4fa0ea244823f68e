"""Asking an authority that is served elsewhere (specs/12 §1, §2): one request, and what its answer says.

What comes back is not believed: a bundle is judged by whoever runs under it, and here it is only read for its names.
"""

from typing import Final, NamedTuple

from exequatur_issuer.asked import Asked
from exequatur_issuer.authorize import Issued, Refused
from exequatur_issuer.http import asked as forms
from exequatur_issuer.http.asked import Form, Runtime
from exequatur_verifier import bundle, cbor, statement
from exequatur_verifier.errors import ExequaturError, MalformedError
from exequatur_verifier.records import Authorization

_MOST: Final = bundle.MAX_BUNDLE
_TIMEOUT: Final = 60.0
_DENIAL: Final = "urn:exequatur:problem:denial"
_WAITS: Final = "policy asks for approvals; send the request again when they are in the log"


class Service(NamedTuple):
    """An authority's address, and the API key or token that is shown to it."""

    url: str
    token: str | None = None


class AuthorityUnavailableError(OSError):
    """An authority did not answer, or with something that is no answer."""


def authorize(service: Service, asked: Asked) -> Issued | Refused:
    """Return the authority's answer. Raises ``AuthorityUnavailableError``; asking again is safe."""
    status, code, data = _post(service, forms.encode(_form(asked)))
    try:
        if status == 200:
            return _issued(data)
        told = cbor.decode_map(data)
        if status == 202:
            return _refused("APPROVAL_MISSING", f"{_WAITS} (request {told['request'].hex()})", told)
        if status >= 500 or code is None:
            raise AuthorityUnavailableError(f"{service.url} answers {status}: {told.get(-2, 'no reason')}")
        return _refused(code, str(told[-2]), told.get(_DENIAL, {}))
    except (ExequaturError, KeyError, AttributeError) as error:
        raise AuthorityUnavailableError(f"{service.url} answers {status} with no answer of an authority") from error


def _form(asked: Asked) -> Form:
    runtime = Runtime(asked.runtime.id, asked.runtime.key, asked.runtime.heads)
    return Form(asked.request, asked.salt, asked.descriptor, runtime, asked.facts, asked.ttl, asked.uses)


def _post(service: Service, body: bytes) -> tuple[int, str | None, bytes]:
    """Return status, code and body of the answer, of which no more than a bundle's bytes are read."""
    import httpx2

    headers = {"content-type": forms.MEDIA_TYPE}
    if service.token is not None:
        headers["authorization"] = f"Bearer {service.token}"
    address = service.url.rstrip("/") + "/authorize"
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream("POST", address, content=body, headers=headers) as answer,
        ):
            data = b""
            for part in answer.iter_bytes(1 << 16):
                data += part
                if len(data) > _MOST:
                    raise AuthorityUnavailableError(f"{address} answers more than {_MOST} bytes")
            return answer.status_code, answer.headers.get("exequatur-code"), data
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise AuthorityUnavailableError(f"{address}: {error}") from None


def _issued(data: bytes) -> Issued:
    artifact, _ = statement.parse_transparent(bundle.decode(data).artifact)
    record, claims = artifact.record, artifact.claims
    if not isinstance(record, Authorization) or claims.exp is None:
        raise MalformedError("a bundle holds an authorization")
    links = {link.relation: link.id for link in record.links}
    return Issued(data, claims.sub, links["request"], links["decision"], artifact.id, claims.exp, record.uses)


def _refused(code: str, detail: str, told: dict[str, object]) -> Refused:
    decision, said = told.get("decision"), [told.get(name, ()) for name in ("explanation", "near")]
    sentences = tuple(str(one) for group in said if isinstance(group, list) for one in group)
    return Refused(code, detail, statement.parse(decision).id if isinstance(decision, bytes) else None, sentences)
