"""A reverse proxy that lies: it hands on requests, and changes what is answered as a test tells it to."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Self

import uvicorn

from exequatur_log.http import server
from exequatur_log.load.client import Answer, Connection, Request, parse_url

# What the client hears instead of an answer; the third argument asks the log something else.
Ask = Callable[[Request], Any]
Lie = Callable[[Request, Answer, Ask], Any]


class Liar:
    """Serves another URL than ``target``'s, in a thread of its own, as long as the context lasts.

    ``lie`` is a coroutine function.
    """

    def __init__(self, target: str, lie: Lie) -> None:
        self._target = parse_url(target)
        self._lie = lie
        listener = server.listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(self._answer, log_config=None, lifespan="off", ws="none", interface="asgi3")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve(sockets=[listener])))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    async def ask(self, request: Request) -> Answer:
        connection = Connection(self._target)
        try:
            return await connection.send(request)
        finally:
            connection.close()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        kept = {b"content-type", b"prefer", b"exequatur-deadline"}
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in kept}
        request = Request(scope["method"], scope["raw_path"].decode() + query, body, headers)
        answer = await self._lie(request, await self.ask(request), self.ask)
        spoken = {**answer.headers, "content-length": str(len(answer.body))}
        told = [(name.encode(), value.encode()) for name, value in spoken.items() if name != "date"]
        await send({"type": "http.response.start", "status": answer.status, "headers": told})
        await send({"type": "http.response.body", "body": answer.body})
