"""SCRAPI (draft-ietf-scitt-scrapi-11, specs/10 §1): register a statement, fetch a receipt, fetch the log's keys.

An entry's id is its record id in hexadecimal, or its index; ``Location`` names the former. The receipt of an entry is
always the one that it was first answered with.
"""

import asyncio
import base64
import binascii
import time
from collections import OrderedDict
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exequatur_log.entry import Registered
from exequatur_log.errors import Code, LogError, NotFoundError, Refused
from exequatur_log.log import Log
from exequatur_log.publish.publication import Ack, Publication
from exequatur_log.sequencer import MAX_WAITING
from exequatur_verifier import cbor, statement
from exequatur_verifier.errors import MalformedError
from exequatur_verifier.keys import PublicKey

from .body import CBOR, COSE, ack_of, deadline_of, prefers_async, read
from .problems import Problem, malformed, not_found, of_error, of_refusal, response

IMMUTABLE: Final = "public, max-age=31536000, immutable"
_KEYS_AGE: Final = "public, max-age=300"
_MOST_FAILED: Final = 4096
# How long a level beyond durable is waited for, in seconds, when the caller names no deadline.
PATIENCE: Final = 10.0
_KEY_ID: Final = 2


class Scrapi:
    """The routes over one log; ``running`` holds the registrations whose callers went away with a 202."""

    def __init__(self, log: Log, publication: Publication) -> None:
        self._log = log
        self._publication = publication
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._failed: OrderedDict[bytes, Problem] = OrderedDict()

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/entries", self.register, methods=["POST"]),
            Route("/entries/{id}", self.receipt, methods=["GET"]),
            Route("/.well-known/scitt-keys", self.keys, methods=["GET"]),
            Route("/.well-known/scitt-keys/{kid}", self.key, methods=["GET"]),
        ]

    async def finish(self) -> None:
        """Wait for the registrations that were answered 202."""
        await asyncio.gather(*self._running.values())

    async def register(self, request: Request) -> Response:
        """``POST /entries``: 201 with the receipt, or 202 for who prefers to come back; else a problem."""
        data = await read(request, COSE, statement.MAX_STATEMENT)
        deadline, level = deadline_of(request), ack_of(request, self._publication.levels)
        if prefers_async(request):
            return self._accept(data)
        begun = time.monotonic()
        try:
            registered = await self._log.register(data, deadline=deadline)
        except Refused as refused:
            return response(of_refusal(refused, data))
        if level is not Ack.DURABLE:
            left = PATIENCE if deadline is None else max(0.0, deadline - (time.monotonic() - begun))
            level = await self._publication.reach(level, registered.leaf_index + 1, left)
        return _Created(registered, level)

    async def receipt(self, request: Request) -> Response:
        """``GET /entries/{id}``: 200 with the receipt, 204 while it is being registered, 404."""
        name = request.path_params["id"]
        record_id = place_of(name)
        # Asked before the log is, which may have it by the time that it is no longer on its way.
        running = record_id in self._running
        try:
            entry = await self._log.get(record_id)
        except NotFoundError:
            if running:
                headers = {"retry-after": "1", "cache-control": "no-store"}
                return Response(None, HTTPStatus.NO_CONTENT, headers)
            failed = self._failed.get(record_id) if isinstance(record_id, bytes) else None
            if failed is not None:
                headers = {name: value for name, value in failed.headers.items() if name != "location"}
                raise Problem(HTTPStatus.NOT_FOUND, "Registration Failed", failed.detail, headers) from None
            raise not_found(f"no entry {name} is in this log") from None
        data = await self._log.receipt(entry.leaf_index)
        return Response(data, HTTPStatus.OK, {"cache-control": IMMUTABLE}, COSE)

    async def keys(self, _: Request) -> Response:
        """``GET /.well-known/scitt-keys``: every key that ever signed a receipt, those in force first."""
        body = cbor.encode([_cose_key(key) for key in await self._keys()])
        return Response(body, HTTPStatus.OK, {"cache-control": _KEYS_AGE}, CBOR)

    async def key(self, request: Request) -> Response:
        """``GET /.well-known/scitt-keys/{kid}``: one key, by its thumbprint in base64url without padding."""
        wanted = _thumbprint(request.path_params["kid"])
        found = next((key for key in await self._keys() if key.thumbprint == wanted), None)
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, "No such key", "this log never signed a receipt with that key")
        return Response(cbor.encode(_cose_key(found)), HTTPStatus.OK, {"cache-control": _KEYS_AGE}, CBOR)

    async def _keys(self) -> list[PublicKey]:
        found = {key.thumbprint: key for one in await self._log.identities() for key in one.receipt_keys.values()}
        return list(found.values())

    def _accept(self, data: bytes) -> Response:
        """Answer 202 and register beside; what comes of it is found at the location."""
        try:
            record_id = statement.parse(data).id
        except MalformedError as error:
            raise malformed(f"{error}; send a signed statement of specs/02, its unprotected header empty") from None
        if record_id not in self._running:
            if len(self._running) >= MAX_WAITING:
                busy = Refused(Code.BUSY, "too many registrations wait already; send it again later", retry_after=1)
                raise of_refusal(busy, data)
            self._failed.pop(record_id, None)
            task = asyncio.create_task(self._run(record_id, data))
            self._running[record_id] = task
            task.add_done_callback(lambda _: self._running.pop(record_id, None))
        headers = {"location": f"/entries/{record_id.hex()}", "retry-after": "1", "cache-control": "no-store"}
        return Response(None, HTTPStatus.ACCEPTED, headers)

    async def _run(self, record_id: bytes, data: bytes) -> None:
        try:
            await self._log.register(data)
        except Refused as refused:
            self._fail(record_id, of_refusal(refused, data))
        except LogError as error:
            self._fail(record_id, of_error(error))

    def _fail(self, record_id: bytes, problem: Problem) -> None:
        """Remember a refusal for whoever comes back for it; of so many, the oldest are forgotten."""
        self._failed[record_id] = problem
        if len(self._failed) > _MOST_FAILED:
            self._failed.popitem(last=False)


class _Created(Response):
    """201 with a receipt, its header written without what Starlette would look for in it: most answers are this one."""

    def __init__(self, registered: Registered, level: Ack) -> None:
        self.status_code = HTTPStatus.CREATED
        self.background = None
        self.body = registered.receipt
        self.raw_headers = [
            (b"location", f"/entries/{registered.record_id.hex()}".encode()),
            (b"exequatur-ack", level.encode()),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", COSE.encode()),
        ]


def place_of(name: str) -> int | bytes:
    """Return the index or the record id that the name of an entry spells; raise ``Problem``."""
    if name.isascii() and name.isdecimal() and len(name) < 19 and (name == "0" or name[0] != "0"):
        return int(name)
    try:
        record_id = bytes.fromhex(name)
    except ValueError:
        record_id = b""
    if len(record_id) != 32 or record_id.hex() != name:
        raise not_found("an entry is named by its index, or by its record id in 64 lower-case hexadecimal digits")
    return record_id


def _cose_key(key: PublicKey) -> dict[object, object]:
    return {**cbor.decode_map(key.encoded), _KEY_ID: key.thumbprint}


def _thumbprint(kid: str) -> bytes:
    try:
        found = base64.b64decode(kid + "=" * (-len(kid) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if base64.urlsafe_b64encode(found).rstrip(b"=").decode() == kid else b""
