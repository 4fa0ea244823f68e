"""The approvals that are waited for, over HTTP (specs/12 §7).

    GET  /approvals              what waits for the caller, who is an approver of the settings
    GET  /approvals/{request}    one request with the very bytes that an approval is bound to
    POST /approvals              a signed approval, which is registered; it is its own credential

A registered approval decides nothing by itself: the request is sent again, and decided again with what is in the log.
"""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_issuer.identity.errors import EntitlementError
from exequatur_issuer.identity.subject import Approver
from exequatur_issuer.log import Refusal, Standing
from exequatur_verifier import statement
from exequatur_verifier.errors import MalformedError

from .body import read
from .desk import Desk
from .entry import Door, json_response
from .office import Office
from .problems import FRESH, Problem, answered, status_of
from .waiting import Approvals, Pending, summary, whole

COSE = "application/cose"


class ApprovalRoutes:
    """The routes to one desk; without a keeper of what waits there is only the last of them."""

    def __init__(self, desk: Desk[Office], door: Door, *, shows: bool) -> None:
        self._desk = desk
        self._door = door
        self._shows = shows

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        queue = [
            Route("/approvals", self.pending, methods=["GET"]),
            Route("/approvals/{request}", self.one, methods=["GET"]),
        ]
        return [*(queue if self._shows else []), Route("/approvals", self.approve, methods=["POST"])]

    async def pending(self, request: Request) -> Response:
        """200 with what waits for the caller."""
        return await answered(self._pending, request)

    async def one(self, request: Request) -> Response:
        """200 with one request, or 404."""
        return await answered(self._one, request)

    async def approve(self, request: Request) -> Response:
        """201 with the receipt, or a problem."""
        return await answered(self._approve, request)

    async def _pending(self, request: Request) -> Response:
        approver = await self._approver(request)
        found = await self._desk.run(lambda office: _keeper(office).pending(approver.iss))
        return json_response({"approvals": [summary(one) for one in found]})

    async def _one(self, request: Request) -> Response:
        approver = await self._approver(request)
        name = request.path_params["request"]
        found = await self._desk.run(lambda office: _find(office, approver, name))
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no such request waits for this approver", "NOT_FOUND")
        return json_response(whole(found))

    async def _approve(self, request: Request) -> Response:
        data = await read(request, COSE, statement.MAX_STATEMENT)
        try:
            answer = await self._desk.run(lambda office: office.approve(data))
        except MalformedError as error:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), "MALFORMED") from None
        if isinstance(answer, Refusal):
            raise Problem(status_of(answer.code), answer.detail, answer.code)
        if isinstance(answer, Standing):
            detail = "this approval stands under other signature bytes; fetch that entry and use its bytes"
            raise Problem(
                HTTPStatus.CONFLICT, detail, "CONFLICT", headers={"location": f"/entries/{answer.leaf_index}"}
            )
        headers = {**FRESH, "location": f"/entries/{answer.leaf_index}"}
        return Response(answer.receipt, HTTPStatus.CREATED, headers, COSE)

    async def _approver(self, request: Request) -> Approver:
        caller = await self._door.caller(request)
        if caller.approver is None:
            raise EntitlementError("APPROVER_UNKNOWN", "the credential is no approver's of this authority")
        return caller.approver


def _keeper(office: Office) -> Approvals:
    assert office.ports.approvals is not None
    return office.ports.approvals


def _find(office: Office, approver: Approver, name: str) -> Pending | None:
    """Return the request of that record id in hexadecimal, if it waits for this approver."""
    waiting = _keeper(office).pending(approver.iss)
    return next((one for one in waiting if one.request.hex() == name), None)
