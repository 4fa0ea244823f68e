"""OpenID AuthZEN Authorization API 1.0, as a decision point of any enforcement point that speaks it (specs/12 §6).

    POST /access/v1/evaluation       one question
    POST /access/v1/evaluations      several, in order, under one of the three semantics
    GET  /.well-known/authzen-configuration

The caller is the agent, by its credential, and the subject is whom that credential names or may speak for. Each
question becomes a request of the agent's own name, signed here, decided, logged and answered like any other: an allow
carries its bundle, a denial the signed decision. Errors are JSON strings, which is what AuthZEN says of them.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_issuer.asked import Refused
from exequatur_issuer.authorize import Issued
from exequatur_issuer.identity.errors import EntitlementError
from exequatur_issuer.identity.subject import Caller
from exequatur_verifier import action
from exequatur_verifier.errors import MalformedError

from .body import read
from .desk import Desk
from .entry import JSON, Door, json_response
from .evaluation import Evaluation, UnmappedError, check_defaults, with_defaults
from .evaluation import read as read_evaluation
from .office import Answered, Denied, Logged, Office, Question
from .problems import CODE_HEADER, Problem, answered, malformed, status_of
from .settings import AuthZen
from .waiting import base64url

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
METADATA: Final = "/.well-known/authzen-configuration"
SEMANTICS: Final = ("execute_all", "deny_on_first_deny", "permit_on_first_permit")
MOST_BODY: Final = 256 << 10
MOST_EVALUATIONS: Final = 64
_MOST_ID: Final = 512
_REQUEST_ID: Final = "x-request-id"
_AGE: Final = {"cache-control": "public, max-age=300"}


class Failed(NamedTuple):
    """A question that cannot be put: what AuthZEN's binding would answer to it alone, and why."""

    status: HTTPStatus
    code: str
    message: str


class AuthZenRoutes:
    """The routes to one desk."""

    def __init__(self, desk: Desk[Office], door: Door, settings: AuthZen) -> None:
        self._desk = desk
        self._door = door
        self._settings = settings

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route(EVALUATION, self.evaluation, methods=["POST"]),
            Route(EVALUATIONS, self.evaluations, methods=["POST"]),
            Route(METADATA, self.metadata, methods=["GET"]),
        ]

    async def metadata(self, _: Request) -> Response:
        """Where the decision point's calls are."""
        url = self._settings.url
        found = {
            "policy_decision_point": url,
            "access_evaluation_endpoint": url + EVALUATION,
            "access_evaluations_endpoint": url + EVALUATIONS,
        }
        return json_response(found, headers=_AGE)

    async def evaluation(self, request: Request) -> Response:
        """200 with one decision."""
        return _named(request, await answered(self._evaluation, request, _error))

    async def evaluations(self, request: Request) -> Response:
        """200 with a decision for each evaluation that was executed."""
        return _named(request, await answered(self._evaluations, request, _error))

    async def _evaluation(self, request: Request) -> Response:
        caller, body = await self._read(request)
        return await self._single(caller, body)

    async def _evaluations(self, request: Request) -> Response:
        caller, body = await self._read(request)
        items, options = body.get("evaluations", []), body.get("options", {})
        if not isinstance(items, list) or len(items) > MOST_EVALUATIONS:
            raise malformed(f"evaluations is an array of at most {MOST_EVALUATIONS} objects")
        semantic = options.get("evaluations_semantic", SEMANTICS[0]) if isinstance(options, dict) else None
        if semantic not in SEMANTICS:
            raise malformed(f"options.evaluations_semantic is one of {', '.join(SEMANTICS)}")
        if not items:
            return await self._single(caller, body)
        check_defaults(body)
        questions = [self._question(caller, body, item) for item in items]
        decisions = await self._desk.run(lambda office: _execute(office, questions, semantic))
        return json_response({"evaluations": decisions})

    async def _read(self, request: Request) -> tuple[Caller, Mapping[str, Any]]:
        caller = await self._door.caller(request)
        caller.requester()
        _check_request_id(request)
        data = await read(request, JSON, MOST_BODY, HTTPStatus.BAD_REQUEST)
        return caller, action.parse_json_arguments(data)

    async def _single(self, caller: Caller, body: Mapping[str, Any]) -> Response:
        question = self._question(caller, body, {})
        if isinstance(question, Failed) and question.status is not HTTPStatus.NOT_FOUND:
            raise Problem(question.status, question.message, question.code)
        (decision,) = await self._desk.run(lambda office: _execute(office, [question], SEMANTICS[0]))
        return json_response(decision)

    def _question(self, caller: Caller, body: Mapping[str, Any], item: Any) -> Question | Failed:
        """Return the question of one evaluation, or why it cannot be put."""
        try:
            evaluation = read_evaluation(with_defaults(body, item), self._settings.resources)
            return _of(caller, evaluation)
        except UnmappedError as error:
            return Failed(HTTPStatus.NOT_FOUND, "RESOURCE_UNMAPPED", str(error))
        except MalformedError as error:
            return Failed(HTTPStatus.BAD_REQUEST, "MALFORMED", str(error))
        except EntitlementError as error:
            return Failed(HTTPStatus.FORBIDDEN, error.code, error.detail)


def _of(caller: Caller, evaluation: Evaluation) -> Question:
    agent = caller.requester()
    user = caller.user(evaluation.kind, evaluation.name)
    return Question(agent.requester, agent.key, agent.runtime, user, evaluation.descriptor)


def _execute(office: Office, questions: Sequence[Question | Failed], semantic: str) -> list[dict[str, Any]]:
    """Return the decisions under one of the semantics; it is at the desk that this happens."""
    if semantic == SEMANTICS[0]:
        asked = [office.request(one) for one in questions if isinstance(one, Question)]
        answers = iter(office.authorize(asked))
        return [_failed(one) if isinstance(one, Failed) else _decision(office, next(answers)) for one in questions]
    until = semantic == SEMANTICS[2]
    decisions: list[dict[str, Any]] = []
    for one in questions:
        decision = (
            _failed(one) if isinstance(one, Failed) else _decision(office, office.authorize([office.request(one)])[0])
        )
        decisions.append(decision)
        if decision["decision"] is until:
            break
    return decisions


def _decision(office: Office, answer: Answered) -> dict[str, Any]:
    if isinstance(answer, Issued):
        context: dict[str, Any] = {
            "id": answer.request.hex(),
            "authorization": answer.authorization.hex(),
            "reasons": list(office.policies(answer.decision)),
            "expires": answer.expires,
            "uses": answer.uses,
            "bundle": base64url(answer.bundle),
        }
        return {"decision": True, "context": context}
    if isinstance(answer, Refused):
        return _failed(Failed(status_of(answer.code), answer.code, answer.detail))
    context = {
        "id": answer.request.hex(),
        "reasons": list(answer.refused.explanation),
        "policies": list(answer.policies),
        **_signed(answer.logged),
    }
    if isinstance(answer, Denied):
        return {"decision": False, "context": {"code": answer.refused.code, **context, "near": list(answer.near)}}
    location = f"/approvals/{answer.request.hex()}"
    context |= {"code": "APPROVAL_MISSING", "access_request": {"id": answer.request.hex(), "location": location}}
    return {"decision": False, "context": context}


def _signed(logged: Logged) -> dict[str, str]:
    return {"statement": base64url(logged.statement), "receipt": base64url(logged.receipt)}


def _failed(failed: Failed) -> dict[str, Any]:
    error = {"status": int(failed.status), "message": failed.message}
    return {"decision": False, "context": {"code": failed.code, "error": error}}


def _check_request_id(request: Request) -> None:
    if len(request.headers.get(_REQUEST_ID, "")) > _MOST_ID:
        raise malformed(f"X-Request-ID has at most {_MOST_ID} characters")


def _named(request: Request, response: Response) -> Response:
    """Return the response with the request's own id, if it has one."""
    given = request.headers.get(_REQUEST_ID)
    if given is not None and len(given) <= _MOST_ID:
        response.headers[_REQUEST_ID] = given
    return response


def _error(problem: Problem) -> Response:
    code = {} if problem.code is None else {CODE_HEADER: problem.code}
    return json_response(problem.detail, problem.status, {**code, **problem.headers})
