"""The OpenAPI document of the service: what each route takes and answers (specs/12 §8)."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final

from . import asked
from .authorize import BUNDLE, PENDING
from .authzen import EVALUATION, EVALUATIONS, METADATA, MOST_EVALUATIONS, SEMANTICS
from .problems import DENIAL, MEDIA_TYPE

Part = dict[str, Any]

_JSON: Final = "application/json"
_COSE: Final = "application/cose"
_HEX: Final[Part] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BASE64: Final[Part] = {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"}
_WHOLE: Final[Part] = {"type": "integer", "minimum": 0}
_TEXTS: Final[Part] = {"type": "array", "items": {"type": "string"}}
_CREDENTIAL: Final[list[Part]] = [{"bearer": []}]


def _object(required: Mapping[str, Part], optional: Mapping[str, Part] | None = None) -> Part:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _of(name: str) -> Part:
    return {"$ref": f"#/components/schemas/{name}"}


_NAME: Final[Part] = {"type": "string", "minLength": 1, "maxLength": 512}
_ENTITY: Final = _object({"type": _NAME, "id": _NAME}, {"properties": {"type": "object"}})
_ENTITIES: Final[Mapping[str, Part]] = {
    "subject": _ENTITY,
    "action": _object({"name": _NAME}, {"properties": {"type": "object"}}),
    "resource": _ENTITY,
}
_CONTEXT: Final[Mapping[str, Part]] = {"context": {"type": "object"}}

SCHEMAS: Final[Part] = {
    "Problem": {
        "description": "A concise problem detail (RFC 9290), with the signed denial if there is one.",
        **_object(
            {"-1": {"type": "string"}, "-2": {"type": "string"}, "-4": {"type": "integer"}}, {DENIAL: _of("Denial")}
        ),
        "additionalProperties": False,
    },
    "Denial": _object(
        {
            "request": _BASE64,
            "decision": _BASE64,
            "receipt": _BASE64,
            "code": {"type": "string"},
            "policies": _TEXTS,
            "explanation": _TEXTS,
            "near": _TEXTS,
        }
    ),
    "Pending": _object(
        {
            "request": _BASE64,
            "decision": _BASE64,
            "receipt": _BASE64,
            "policies": _TEXTS,
            "explanation": _TEXTS,
        }
    ),
    "Plan": _object(
        {
            "outcome": {"enum": ["allow", "deny", "needs-approval"]},
            "code": {"type": ["string", "null"]},
            "policies": _TEXTS,
            "explanation": _TEXTS,
            "commitment": _HEX,
            "policy": _HEX,
            "epoch": _WHOLE,
            "now": _WHOLE,
            "approvals": _WHOLE,
            "ttl": {"type": ["integer", "null"]},
            "uses": {"type": ["integer", "null"]},
        }
    ),
    "Evaluation": _object(_ENTITIES, _CONTEXT),
    "Evaluations": _object(
        {},
        {
            **_ENTITIES,
            **_CONTEXT,
            "evaluations": {
                "type": "array",
                "maxItems": MOST_EVALUATIONS,
                "items": _object({}, {**_ENTITIES, **_CONTEXT}),
            },
            "options": _object({}, {"evaluations_semantic": {"enum": list(SEMANTICS)}}),
        },
    ),
    "Decision": _object({"decision": {"type": "boolean"}}, {"context": {"type": "object"}}),
    "Decisions": _object({"evaluations": {"type": "array", "minItems": 1, "items": _of("Decision")}}),
    "Configuration": _object(
        {
            name: {"type": "string", "pattern": "^https://"}
            for name in ("policy_decision_point", "access_evaluation_endpoint", "access_evaluations_endpoint")
        }
    ),
    "Queue": _object({"approvals": {"type": "array", "items": {"type": "object"}}}),
    "Waiting": _object(
        {"request": _HEX, "commitment": _HEX, "salt": _BASE64, "encoded": _BASE64, "action": {"type": "object"}}
    ),
}


def _answer(what: str, media_type: str, schema: Part | None = None, **headers: Part) -> Part:
    told: Part = {"description": what, "content": {media_type: {} if schema is None else {"schema": schema}}}
    if headers:
        told["headers"] = {name: {"required": True, "schema": schema} for name, schema in headers.items()}
    return told


_LOCATION: Final[Part] = {"type": "string", "pattern": "^/(entries|approvals)/"}
_BAD: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_ASKED: Final = (
    *_BAD,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def _problems(*statuses: HTTPStatus) -> Part:
    return {str(status.value): _answer(status.phrase, MEDIA_TYPE, _of("Problem")) for status in statuses}


def _errors(*statuses: HTTPStatus) -> Part:
    return {str(status.value): _answer(status.phrase, _JSON, {"type": "string"}) for status in statuses}


def _body(media_type: str, schema: Part | None = None) -> Part:
    return {"required": True, "content": {media_type: {} if schema is None else {"schema": schema}}}


_KNOWN: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

PATHS: Final[Part] = {
    "/authorize": {
        "post": {
            "summary": "Ask for an artifact",
            "security": [{}, *_CREDENTIAL],
            "requestBody": _body(asked.MEDIA_TYPE),
            "responses": {
                **_problems(*_ASKED),
                "200": _answer("The bundle.", BUNDLE, location=_LOCATION),
                "202": _answer("It waits for approvals.", PENDING, _of("Pending"), location=_LOCATION),
            },
        }
    },
    "/plan": {
        "post": {
            "summary": "Ask what would be decided",
            "security": [{}, *_CREDENTIAL],
            "requestBody": _body(asked.MEDIA_TYPE),
            "responses": {**_problems(*_ASKED), "200": _answer("What would be decided now.", _JSON, _of("Plan"))},
        }
    },
    "/approvals": {
        "get": {
            "summary": "What waits for the caller's approval",
            "security": _CREDENTIAL,
            "responses": {**_problems(*_BAD[2:], *_KNOWN), "200": _answer("The queue.", _JSON, _of("Queue"))},
        },
        "post": {
            "summary": "Have a signed approval registered",
            "requestBody": _body(_COSE),
            "responses": {
                **_problems(
                    *_BAD,
                    HTTPStatus.FORBIDDEN,
                    HTTPStatus.CONFLICT,
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                ),
                "201": _answer("The receipt.", _COSE, location=_LOCATION),
            },
        },
    },
    "/approvals/{request}": {
        "get": {
            "summary": "One request with what its approval is bound to",
            "security": _CREDENTIAL,
            "parameters": [{"name": "request", "in": "path", "required": True, "schema": _HEX}],
            "responses": {
                **_problems(*_BAD[2:], *_KNOWN, HTTPStatus.NOT_FOUND),
                "200": _answer("The request.", _JSON, _of("Waiting")),
            },
        }
    },
    EVALUATION: {
        "post": {
            "summary": "AuthZEN: one evaluation",
            "security": _CREDENTIAL,
            "requestBody": _body(_JSON, _of("Evaluation")),
            "responses": {**_errors(*_BAD, *_KNOWN), "200": _answer("The decision.", _JSON, _of("Decision"))},
        }
    },
    EVALUATIONS: {
        "post": {
            "summary": "AuthZEN: several evaluations",
            "security": _CREDENTIAL,
            "requestBody": _body(_JSON, _of("Evaluations")),
            "responses": {
                **_errors(*_BAD, *_KNOWN),
                "200": _answer("The decisions.", _JSON, {"oneOf": [_of("Decisions"), _of("Decision")]}),
            },
        }
    },
    METADATA: {
        "get": {
            "summary": "AuthZEN: the configuration of the decision point",
            "responses": {"200": _answer("Where its calls are.", _JSON, _of("Configuration"))},
        }
    },
}


def describe(paths: Collection[str], shows_approvals: bool) -> Part:
    """Return the document of an application that has these paths."""
    told = {path: dict(item) for path, item in PATHS.items() if path in paths}
    if not shows_approvals:
        told["/approvals"].pop("get")
    return {
        "openapi": "3.1.0",
        "info": {"title": "Exequatur authority", "version": "1", "summary": "Decisions, artifacts and approvals"},
        "paths": told,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
