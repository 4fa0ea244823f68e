"""The raw work of serving: a bare FastAPI echo, and files from a directory, on the server that the log runs on.

``python -m tests.bench.echo PORT-FD DIRECTORY`` serves until it is stopped; the socket is inherited.
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles

app = FastAPI()


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/cose")


if __name__ == "__main__":
    app.mount("/static", StaticFiles(directory=sys.argv[2]))
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
