"""The plain routes as OpenAPI 3.1 describes them, which FastAPI cannot know; it describes lookup itself (specs/10 §5).

CBOR is described by the JSON that RFC 8949 §6.1 makes of it: byte strings as base64url without padding, keys that are
integers as decimal text. A COSE message, a tile or a bundle is bytes, of a form that the specifications have. A tile
whose number is beyond 999 stands deeper, as C2SP tlog-tiles writes it; a path of OpenAPI cannot say that.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from exequatur_log.errors import Code
from exequatur_log.publish.publication import LEVELS
from exequatur_log.sequencer import MAX_BATCH

from .body import CBOR, COSE
from .problems import MEDIA_TYPE

Part = dict[str, Any]

_TEXT: Final = "text/plain"
_BYTES: Final = "application/octet-stream"
_JSON: Final = "application/json"
_WHOLE: Final = {"type": "integer", "minimum": 0, "maximum": (1 << 63) - 1}
_BASE64: Final = {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"}
_SECONDS: Final = {"type": "string", "pattern": "^[0-9]+$"}
_LOCATION: Final = {"type": "string", "pattern": "^/entries/([0-9]+|[0-9a-f]{64})$"}
_LEVEL: Final = {"type": "string", "enum": [str(level) for level in LEVELS]}
_HASHES: Final = {"type": "array", "items": {**_BASE64, "minLength": 43, "maxLength": 43}, "maxItems": 63}
_CODES: Final = {"type": "string", "enum": [str(code) for code in Code]}

SCHEMAS: Final[Part] = {
    "Problem": {
        "description": "A concise problem detail (RFC 9290): title, detail, and the response code.",
        "type": "object",
        "properties": {"-1": {"type": "string"}, "-2": {"type": "string"}, "-4": {"type": "integer"}},
        "required": ["-1", "-2", "-4"],
        "additionalProperties": False,
    },
    "Proof": {
        "description": "Of inclusion: size, index, path. Of consistency: the smaller size, the larger, path.",
        "type": "array",
        "items": {"oneOf": [_WHOLE, _HASHES]},
        "minItems": 3,
        "maxItems": 3,
    },
    "Answers": {
        "description": "One for each statement of the batch, in order.",
        "type": "array",
        "maxItems": MAX_BATCH,
        "items": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"status": {"const": 201}, "location": _LOCATION, "receipt": _BASE64},
                    "required": ["status", "location", "receipt"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {
                        "status": {"type": "integer", "minimum": 400, "maximum": 599},
                        "title": {"type": "string"},
                        "detail": {"type": "string"},
                        "code": _CODES,
                        "location": _LOCATION,
                        "retry_after": _SECONDS,
                    },
                    "required": ["status", "title", "detail", "code"],
                    "additionalProperties": False,
                },
            ]
        },
    },
    "Key": {
        "description": "A COSE_Key on P-256 for ES256; its kid is its RFC 9679 thumbprint.",
        "type": "object",
        "properties": {
            "1": {"const": 2},
            "2": {**_BASE64, "minLength": 43, "maxLength": 43},
            "3": {"const": -7},
            "-1": {"const": 1},
            "-2": _BASE64,
            "-3": _BASE64,
        },
        "required": ["1", "2", "3", "-1", "-2", "-3"],
        "additionalProperties": False,
    },
    "Keys": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}, "minItems": 1},
    "Alive": {"type": "object", "properties": {"alive": {"const": True}}, "required": ["alive"]},
    "Ready": {
        "type": "object",
        "properties": {"ready": {"type": "boolean"}, "why": {"type": "string"}},
        "required": ["ready"],
    },
}


def describe(document: Part) -> Part:
    """Return FastAPI's document with the plain routes in it, before its own."""
    own = document.get("components", {}).get("schemas", {})
    return {
        **document,
        "paths": {**PATHS, **document["paths"]},
        "components": {**document.get("components", {}), "schemas": {**SCHEMAS, **own}},
    }


def _of(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str, schema: Part, what: str) -> Part:
    return {"name": name, "in": "header", "schema": schema, "description": what}


def _query(name: str) -> Part:
    return {"name": name, "in": "query", "required": True, "schema": _WHOLE}


def _place(name: str, pattern: str, what: str) -> Part:
    schema = {"type": "string", "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": what}


def _answer(what: str, media_type: str | None = None, schema: Part | None = None, **headers: Part) -> Part:
    """Return a response. Headers are given by their names with underscores, and are always there."""
    told: Part = {"description": what}
    if media_type is not None:
        told["content"] = {media_type: {} if schema is None else {"schema": schema}}
    if headers:
        told["headers"] = {
            name.replace("_", "-"): {"required": True, "schema": schema} for name, schema in headers.items()
        }
    return told


def _problem(status: HTTPStatus) -> Part:
    waits = {"retry_after": _SECONDS} if status is HTTPStatus.TOO_MANY_REQUESTS else {}
    return _answer(status.phrase, MEDIA_TYPE, _of("Problem"), **waits)


def _operation(
    tag: str,
    summary: str,
    answers: Mapping[int, Part],
    *problems: HTTPStatus,
    parameters: tuple[Part, ...] = (),
    body: Part | None = None,
) -> Part:
    # Any answer may be that the log has stopped or its storage does not answer.
    refusals = {str(status.value): _problem(status) for status in (*problems, HTTPStatus.SERVICE_UNAVAILABLE)}
    told: Part = {
        "tags": [tag],
        "summary": summary,
        "responses": {**refusals, **{str(status): answer for status, answer in answers.items()}},
    }
    if parameters:
        told["parameters"] = list(parameters)
    if body is not None:
        told["requestBody"] = {"required": True, "content": body}
    return told


_BAD, _MISSING = HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND
_BODY: Final = (
    _BAD,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.TOO_MANY_REQUESTS,
)
_ID: Final = _place("id", "^(0|[1-9][0-9]{0,17}|[0-9a-f]{64})$", "A record id in hexadecimal, or an index.")
_LEVEL_OF_TILE: Final = _place("level", "^(0|[1-9]|[1-5][0-9]|6[0-3])$", "The level of the tile.")
_NUMBER: Final = _place("number", "^[0-9]{3}$", "The number of the tile, below 1,000.")
_WIDTH: Final = _place("width", "^([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$", "The width of a partial tile.")
_WISHES: Final = (
    _header(
        "Exequatur-Deadline",
        {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        "Refuse at once what is not expected within so many seconds.",
    ),
    _header("Exequatur-Ack", _LEVEL, "The level of acknowledgement to wait for, of those that this service reaches."),
)
_PREFER: Final = _header("Prefer", {"type": "string"}, "respond-async, to fetch the receipt later (RFC 7240).")
_TILE: Final = _answer("That many hashes of 32 bytes.", _BYTES)
_BUNDLE: Final = _answer("That many entries, each after its length in two bytes.", _BYTES)
_PROOF: Final = {200: _answer("The proof.", CBOR, _of("Proof"))}

PATHS: Final[Part] = {
    "/entries": {
        "post": _operation(
            "SCRAPI",
            "Register a signed statement",
            {
                201: _answer("The frozen receipt.", COSE, location=_LOCATION, exequatur_ack=_LEVEL),
                202: _answer("Taken; the receipt will be at the location.", location=_LOCATION, retry_after=_SECONDS),
            },
            *_BODY,
            HTTPStatus.CONFLICT,
            parameters=(*_WISHES, _PREFER),
            body={COSE: {}},
        )
    },
    "/entries/batch": {
        "post": _operation(
            "Beyond SCRAPI",
            "Register many signed statements",
            {200: _answer("One answer for each.", CBOR, _of("Answers"), exequatur_ack=_LEVEL)},
            *_BODY,
            parameters=_WISHES,
            body={CBOR: {"schema": {"type": "array", "maxItems": MAX_BATCH, "items": _BASE64}}},
        )
    },
    "/entries/{id}": {
        "get": _operation(
            "SCRAPI",
            "The receipt that an entry was first answered with",
            {200: _answer("The receipt.", COSE), 204: _answer("It is being registered.", retry_after=_SECONDS)},
            _MISSING,
            parameters=(_ID,),
        )
    },
    "/entries/{id}/statement": {
        "get": _operation(
            "Beyond SCRAPI",
            "The signed statement of an entry",
            {200: _answer("The statement.", COSE)},
            _MISSING,
            parameters=(_ID,),
        )
    },
    "/entries/{id}/fresh": {
        "get": _operation(
            "Beyond SCRAPI",
            "A receipt under the current head",
            {200: _answer("The receipt.", COSE)},
            _MISSING,
            parameters=(_ID,),
        )
    },
    "/entries/{id}/tlog-proof": {
        "get": _operation(
            "C2SP",
            "A tlog-proof under the newest checkpoint",
            {200: _answer("The proof.", _TEXT)},
            _MISSING,
            parameters=(_ID,),
        )
    },
    "/.well-known/scitt-keys": {
        "get": _operation(
            "SCRAPI", "Every key that ever signed a receipt", {200: _answer("The keys.", CBOR, _of("Keys"))}
        )
    },
    "/.well-known/scitt-keys/{kid}": {
        "get": _operation(
            "SCRAPI",
            "One such key",
            {200: _answer("The key.", CBOR, _of("Key"))},
            _MISSING,
            parameters=(_place("kid", "^[A-Za-z0-9_-]{43}$", "Its thumbprint in base64url."),),
        )
    },
    "/proofs/inclusion": {
        "get": _operation(
            "Beyond SCRAPI",
            "That an entry is in the tree of a size",
            _PROOF,
            _BAD,
            _MISSING,
            parameters=(_query("index"), _query("size")),
        )
    },
    "/proofs/consistency": {
        "get": _operation(
            "Beyond SCRAPI",
            "That one tree is a prefix of another",
            _PROOF,
            _BAD,
            _MISSING,
            parameters=(_query("from"), _query("to")),
        )
    },
    "/checkpoint": {"get": _operation("C2SP", "The newest checkpoint", {200: _answer("A signed note.", _TEXT)})},
    "/tile/{level}/{number}": {
        "get": _operation("C2SP", "A full tile of hashes", {200: _TILE}, _MISSING, parameters=(_LEVEL_OF_TILE, _NUMBER))
    },
    "/tile/{level}/{number}.p/{width}": {
        "get": _operation(
            "C2SP",
            "A partial tile of hashes",
            {200: _TILE},
            _MISSING,
            parameters=(_LEVEL_OF_TILE, _NUMBER, _WIDTH),
        )
    },
    "/tile/entries/{number}": {
        "get": _operation("C2SP", "A full bundle of entries", {200: _BUNDLE}, _MISSING, parameters=(_NUMBER,))
    },
    "/tile/entries/{number}.p/{width}": {
        "get": _operation("C2SP", "A partial bundle of entries", {200: _BUNDLE}, _MISSING, parameters=(_NUMBER, _WIDTH))
    },
    "/healthz": {"get": _operation("operators", "Alive", {200: _answer("It answers.", _JSON, _of("Alive"))})},
    "/readyz": {
        "get": _operation(
            "operators",
            "Ready",
            {
                200: _answer("It can be relied on.", _JSON, _of("Ready")),
                503: _answer("It cannot, and why.", _JSON, _of("Ready")),
            },
        )
    },
    "/metrics": {
        "get": _operation(
            "operators",
            "What it has done",
            {200: _answer("Prometheus' text format.", _TEXT)},
            HTTPStatus.UNAUTHORIZED,
        )
    },
}
