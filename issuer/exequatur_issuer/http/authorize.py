"""``POST /authorize`` and ``POST /plan``: what was asked, and its bundle, or why there is none (specs/12 §1–§3).

The signed request is the requester's credential: the log checks its signature, and that its key may make it. A user
whom it names in its claims has to be proven beside it, by a token or by an API key that may speak for that user.
"""

from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_issuer import principals
from exequatur_issuer.asked import Refused
from exequatur_issuer.authorize import Issued
from exequatur_verifier import cbor, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.records import Request

from . import asked as forms
from .asked import Form
from .body import read
from .desk import Desk
from .entry import Door, json_response
from .office import Denied, Office, Plan, Waiting
from .problems import DENIAL, FRESH, Problem, answered, plain, response, status_of

BUNDLE: Final = "application/vnd.exequatur.bundle+cbor"
PENDING: Final = "application/vnd.exequatur.pending+cbor"
_UNPROVEN: Final = "the request names a user; send that user's token with it"


class Authorize:
    """The routes to one desk."""

    def __init__(self, desk: Desk[Office], door: Door) -> None:
        self._desk = desk
        self._door = door

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/authorize", self.authorize, methods=["POST"]),
            Route("/plan", self.plan, methods=["POST"]),
        ]

    async def authorize(self, request: HttpRequest) -> Response:
        """200 with the bundle, 202 while approvals are waited for, 403 with the signed denial, or another problem."""
        return await answered(self._authorize, request)

    async def plan(self, request: HttpRequest) -> Response:
        """200 with what would be decided. Nothing is signed or logged for it."""
        return await answered(self._plan, request)

    async def _authorize(self, request: HttpRequest) -> Response:
        form = await self._form(request)
        answer = await self._desk.ask(form)
        if isinstance(answer, Issued):
            headers = {**FRESH, "location": f"/entries/{answer.authorization.hex()}"}
            return Response(answer.bundle, HTTPStatus.OK, headers, BUNDLE)
        if isinstance(answer, Waiting):
            location = f"/approvals/{answer.request.hex()}"
            return Response(cbor.encode(_told(answer)), HTTPStatus.ACCEPTED, {**FRESH, "location": location}, PENDING)
        if isinstance(answer, Denied):
            refused = answer.refused
            return response(
                Problem(
                    HTTPStatus.FORBIDDEN,
                    refused.detail,
                    refused.code,
                    entries={DENIAL: {**_told(answer), "code": refused.code, "near": _sentences(answer.near)}},
                )
            )
        return response(_of_refusal(answer))

    async def _plan(self, request: HttpRequest) -> Response:
        form = await self._form(request)
        plan = await self._desk.run(lambda office: office.plan(form))
        return response(_of_refusal(plan)) if isinstance(plan, Refused) else json_response(_as_json(plan))

    async def _form(self, request: HttpRequest) -> Form:
        """Return what was posted, once whoever it names is proven."""
        form = forms.decode(await read(request, forms.MEDIA_TYPE, forms.MAX_ASKED))
        try:
            signed = statement.parse(form.request)
        except MalformedError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "MALFORMED") from None
        record = signed.record
        user = record.claims.get(principals.USER) if isinstance(record, Request) else None
        if "authorization" in request.headers:
            caller = await self._door.caller(request)
            caller.check(signed.claims.iss, user)
        elif user is not None:
            raise Problem(
                HTTPStatus.UNAUTHORIZED, _UNPROVEN, "SUBJECT_UNPROVEN", headers={"www-authenticate": "Bearer"}
            )
        return form


def _of_refusal(refused: Refused) -> Problem:
    return Problem(status_of(refused.code), refused.detail, refused.code)


def _told(answer: Denied | Waiting) -> dict[str, Any]:
    return {
        "request": answer.request,
        "decision": answer.logged.statement,
        "receipt": answer.logged.receipt,
        "policies": list(answer.policies),
        "explanation": _sentences(answer.refused.explanation),
    }


def _sentences(sentences: tuple[str, ...]) -> list[str]:
    return [plain(sentence) for sentence in sentences[:64]]


def _as_json(plan: Plan) -> dict[str, Any]:
    return {
        "outcome": plan.outcome,
        "code": plan.code,
        "policies": list(plan.policies),
        "explanation": list(plan.explanation),
        "commitment": plan.commitment.hex(),
        "policy": plan.policy.hex(),
        "epoch": plan.epoch,
        "now": plan.now,
        "approvals": plan.approvals,
        "ttl": plan.ttl,
        "uses": plan.uses,
    }
