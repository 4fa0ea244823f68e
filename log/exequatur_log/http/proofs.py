"""What SCRAPI leaves out (specs/10 §2): many statements at once, statements back, fresh receipts, proofs.

Proofs and statements need no more than a source of tiles; the rest is the live log's. Everything is CBOR in its one
deterministic encoding.
"""

from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_log.batch import Answer
from exequatur_log.errors import Refused
from exequatur_log.log import Log
from exequatur_log.publish.publication import Ack, Publication
from exequatur_log.sequencer import MAX_BATCH
from exequatur_verifier import cbor
from exequatur_verifier.errors import MalformedError

from .body import CBOR, COSE, ack_of, deadline_of, read, whole_number
from .problems import malformed, of_refusal
from .scrapi import IMMUTABLE, PATIENCE, place_of
from .source import TileSource

MOST_BYTES: Final = 16 << 20


class Proofs:
    """The routes over one source: statements and proofs."""

    def __init__(self, source: TileSource) -> None:
        self._source = source

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/entries/{id}/statement", self.statement, methods=["GET"]),
            Route("/entries/{id}/tlog-proof", self.tlog_proof, methods=["GET"]),
            Route("/proofs/inclusion", self.inclusion, methods=["GET"]),
            Route("/proofs/consistency", self.consistency, methods=["GET"]),
        ]

    async def statement(self, request: Request) -> Response:
        """``GET /entries/{id}/statement``: the signed statement."""
        data = await self._source.statement(place_of(request.path_params["id"]))
        return Response(data, HTTPStatus.OK, {"cache-control": IMMUTABLE}, COSE)

    async def tlog_proof(self, request: Request) -> Response:
        """``GET /entries/{id}/tlog-proof``: index, path and newest checkpoint as a C2SP tlog-proof."""
        data = await self._source.tlog_proof(place_of(request.path_params["id"]))
        return Response(data, HTTPStatus.OK, {"cache-control": "no-store"}, "text/plain; charset=utf-8")

    async def inclusion(self, request: Request) -> Response:
        """``GET /proofs/inclusion?index=&size=``: [size, index, path]."""
        index, size = whole_number(request, "index"), whole_number(request, "size")
        return _proof([size, index, await self._source.inclusion(index, size)])

    async def consistency(self, request: Request) -> Response:
        """``GET /proofs/consistency?from=&to=``: [older size, newer size, path]."""
        older, newer = whole_number(request, "from"), whole_number(request, "to")
        return _proof([older, newer, await self._source.consistency(older, newer)])


class Batches:
    """The routes over the live log: batches, and receipts under its current head."""

    def __init__(self, log: Log, publication: Publication) -> None:
        self._log = log
        self._publication = publication

    def routes(self) -> list[BaseRoute]:
        """Return the routes, which stand before those of SCRAPI."""
        return [
            Route("/entries/batch", self.register, methods=["POST"]),
            Route("/entries/{id}/fresh", self.fresh, methods=["GET"]),
        ]

    async def register(self, request: Request) -> Response:
        """``POST /entries/batch``: an array of statements, answered by an array of one answer for each, in order."""
        data = await read(request, CBOR, MOST_BYTES)
        deadline, level = deadline_of(request), ack_of(request, self._publication.levels)
        try:
            batch = cbor.decode(data)
        except MalformedError as error:
            raise malformed(str(error)) from None
        if type(batch) is not list or len(batch) > MAX_BATCH or not all(type(item) is bytes for item in batch):
            raise malformed(f"send an array of at most {MAX_BATCH} byte strings, each a signed statement")
        try:
            answers = await self._log.register_many(batch, waits=False, deadline=deadline)
        except Refused as busy:
            raise of_refusal(busy, data) from None
        described = [_describe(answer, item) for answer, item in zip(answers, batch, strict=True)]
        end = max((answer.leaf_index + 1 for answer in answers if not isinstance(answer, Refused)), default=0)
        if level is not Ack.DURABLE:
            level = await self._publication.reach(level, end, PATIENCE)
        # Thousands of receipts: each answer has its keys in their order already, so nothing is sorted again.
        return Response(cbor.encode_again(described), HTTPStatus.OK, {"exequatur-ack": level}, CBOR)

    async def fresh(self, request: Request) -> Response:
        """``GET /entries/{id}/fresh``: a receipt under the current head."""
        place = place_of(request.path_params["id"])
        index = place if isinstance(place, int) else (await self._log.get(place)).leaf_index
        data = await self._log.fresh_receipt(index)
        return Response(data, HTTPStatus.OK, {"cache-control": "no-store"}, COSE)


def _proof(proof: list[Any]) -> Response:
    return Response(cbor.encode(proof), HTTPStatus.OK, {"cache-control": IMMUTABLE}, CBOR)


def _describe(answer: Answer, statement: bytes) -> dict[str, object]:
    """Return an answer, its keys in the order of the one encoding."""
    if not isinstance(answer, Refused):
        location = f"/entries/{answer.record_id.hex()}"
        return {"status": int(HTTPStatus.CREATED), "receipt": answer.receipt, "location": location}
    problem = of_refusal(answer, statement)
    described: dict[str, object] = {
        "code": str(answer.code),
        "title": problem.title,
        "detail": problem.detail,
        "status": int(problem.status),
    }
    for header, name in (("location", "location"), ("retry-after", "retry_after")):
        if header in problem.headers:
            described[name] = problem.headers[header]
    return described
