"""Finding entries (specs/10 §5): by subject, issuer, kind, signer and time, as JSON, with what the answer covers."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from exequatur_log.log import Log
from exequatur_verifier.records import Kind

_MOST: Final = 256
_LARGEST: Final = (1 << 63) - 1
Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Found(BaseModel):
    """One entry; its statement and receipt are at its location."""

    index: int
    record: Hex32
    kind: str
    sub: str
    iss: str
    iat: int = Field(description="What the issuer says, in Unix seconds.")
    key: Hex32 = Field(description="The thumbprint of the signer's key.")
    location: str


class Answer(BaseModel):
    """The entries in order, and how far the search went: nothing before ``complete_to`` is missing."""

    entries: list[Found]
    complete_to: int = Field(description="Every matching entry with an index from `start` up to here is listed.")
    size: int = Field(description="The size of the log that was searched. The index never lags behind it.")


def router(log: Log) -> APIRouter:
    """Return the route over one log."""
    routes = APIRouter(tags=["lookup"])

    @routes.get("/lookup", summary="Find entries by subject, issuer, kind, signer and time")
    async def lookup(
        sub: Annotated[str | None, Query(max_length=512, description="The subject, a URN.")] = None,
        iss: Annotated[str | None, Query(max_length=512, description="The issuer that the statement names.")] = None,
        kind: Annotated[Literal[tuple(one.value for one in Kind)] | None, Query()] = None,  # type: ignore[valid-type]  # the kinds, from their one list
        key: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="The signer's thumbprint.")] = None,
        since: Annotated[int | None, Query(ge=0, le=_LARGEST, description="Issued at or after, Unix seconds.")] = None,
        before: Annotated[int | None, Query(ge=0, le=_LARGEST, description="Issued before, Unix seconds.")] = None,
        start: Annotated[int, Query(ge=0, le=_LARGEST, description="From this index on.")] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    ) -> Answer:
        # The size first: what is appended meanwhile is beyond what the answer claims.
        size = (await log.head()).size
        wanted = None if key is None else bytes.fromhex(key)
        entries = await log.find(
            sub=sub,
            iss=iss,
            kind=None if kind is None else Kind(kind),
            key_id=wanted,
            since=since,
            before=before,
            start=start,
            end=size,
            limit=limit,
        )
        return Answer(
            entries=[
                Found(
                    index=entry.leaf_index,
                    record=entry.record_id.hex(),
                    kind=entry.kind,
                    sub=entry.sub,
                    iss=entry.iss,
                    iat=entry.iat,
                    key=entry.key_id.hex(),
                    location=f"/entries/{entry.record_id.hex()}",
                )
                for entry in entries
            ],
            complete_to=size if len(entries) < limit else entries[-1].leaf_index + 1,
            size=size,
        )

    return routes
