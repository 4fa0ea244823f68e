"""What a log is published to: names with bytes behind them, each written once, the checkpoint alone replaced.

A place is written ``DIR`` or ``s3://BUCKET[/PREFIX]``. Either does what is asked, or raises ``StoreError``.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from exequatur_log.errors import DifferingRewriteError, StoreError
from exequatur_verifier import tiles

# Nothing that a log publishes is longer than a bundle of its longest entries.
MAX_OBJECT: Final = tiles.WIDTH * (2 + tiles.MAX_ENTRY)
CHECKPOINT: Final = "checkpoint"


class Store(Protocol):
    """A directory or a bucket. Every method raises ``StoreError``; what it returned from is durable."""

    @property
    def name(self) -> str:
        """What an operator calls it."""
        ...

    async def get(self, path: str) -> bytes | None:
        """Return what stands at a path, or ``None`` if nothing does."""
        ...

    async def add(self, path: str, data: bytes) -> bool:
        """Write what was not there; return whether it was not. What stands at the path stays as it is.

        Some buckets let two creations of one moment both succeed. Publishers of one log write the same bytes.
        """
        ...

    async def replace(self, path: str, data: bytes, former: bytes | None) -> bool:
        """Put ``data`` in the place of ``former``, or of nothing; return whether that was what stood there.

        A bucket cannot compare and replace in one step: what somebody else writes in between is lost.
        """
        ...


class Bucket(NamedTuple):
    """How a bucket is reached. The rest is the AWS environment's; keys stand there, or in a file of AWS's own form."""

    endpoint: str | None = None
    region: str | None = None
    credentials: Path | None = None


async def create(store: Store, path: str, data: bytes) -> bool:
    """Write ``data`` at a path once and for ever; return whether it is new there.

    Raises ``DifferingRewriteError`` if other bytes stand there.
    """
    if await store.add(path, data):
        return True
    standing = await store.get(path)
    if standing is None:
        raise StoreError(f"{store.name} refuses to create {path}, which is not there; run its probe")
    if standing != data:
        raise DifferingRewriteError(path, sha256(standing).digest(), sha256(data).digest())
    return False


def open_store(place: str, bucket: Bucket | None = None) -> Store:
    """Return the store at a place. Nothing is read or written yet.

    Raises ``ValueError`` for what is no place, ``StoreError`` for one that cannot be reached as ``bucket`` says.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        if bucket is not None and bucket != Bucket():
            raise ValueError(f"{place} is a directory; an endpoint, a region and credentials are a bucket's")
        from .directory import DirectoryStore

        return DirectoryStore(Path(place))
    parts = urlsplit(place)
    if scheme != "s3" or not parts.hostname or parts.netloc != parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{place!r} is neither a directory nor s3://BUCKET/PREFIX")
    from .bucket import BucketStore

    return BucketStore(parts.hostname, parts.path.strip("/"), bucket or Bucket())
