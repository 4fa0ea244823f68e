"""A bucket of an S3-compatible object store to publish to.

Creating is a PUT with ``If-None-Match: *``. There is no ``If-Match``: of the stores that exist some lack it, so the
checkpoint is compared and then replaced. Keys come from the AWS environment, the machine's role or a credentials file.
"""

import asyncio
import configparser
from collections.abc import Awaitable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from exequatur_log.errors import StoreError

from .store import MAX_OBJECT, Bucket

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

T = TypeVar("T")

_CLIENT: Final["ClientConfig"] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=30)}
_RETRY: Final["RetryConfig"] = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2)},
}
# The client's own limits come first; this one is for what they do not cover, such as fetching a role's keys.
_MOST_SECONDS: Final = 90
_PROFILE: Final = "default"


class BucketStore:
    """A bucket, or what lies in it below a prefix."""

    def __init__(self, bucket: str, prefix: str, settings: Bucket) -> None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, BaseError

        self._obstore = obstore
        self._exists = AlreadyExistsError
        self._failed = (BaseError, OSError, ValueError, TimeoutError)
        self._name = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        config: dict[str, Any] = {}
        client = _CLIENT
        if settings.region is not None:
            config["region"] = settings.region
        if settings.endpoint is not None:
            config |= {"endpoint": settings.endpoint, "virtual_hosted_style_request": False}
            client = {**_CLIENT, "allow_http": _is_local(settings.endpoint)}
        if settings.credentials is not None:
            config |= _read_credentials(settings.credentials)
        try:
            self._store = obstore.store.S3Store(
                bucket,
                prefix=prefix or None,
                config=config,  # type: ignore[arg-type]  # of its keys only those that were given
                client_options=client,
                retry_config=_RETRY,
            )
        except self._failed as error:
            raise StoreError(f"{self._name} cannot be reached: {_first_line(error)}") from None

    @property
    def name(self) -> str:
        """The URL."""
        return self._name

    async def get(self, path: str) -> bytes | None:
        """As ``Store.get``."""

        async def read() -> bytes | None:
            try:
                found = await self._obstore.get_async(self._store, path)
            except FileNotFoundError:
                return None
            if found.meta["size"] > MAX_OBJECT:
                raise StoreError(f"{path} in {self._name} is larger than anything that a log publishes")
            return bytes(await found.bytes_async())

        return await self._run(read(), f"read {path}")

    async def add(self, path: str, data: bytes) -> bool:
        """As ``Store.add``."""

        async def put() -> bool:
            try:
                await self._obstore.put_async(self._store, path, data, mode="create", use_multipart=False)
            except self._exists:
                return False
            return True

        return await self._run(put(), f"create {path}")

    async def replace(self, path: str, data: bytes, former: bytes | None) -> bool:
        """As ``Store.replace``."""
        if await self.get(path) != former:
            return False
        await self._run(self._obstore.put_async(self._store, path, data, use_multipart=False), f"write {path}")
        return True

    async def _run(self, work: Awaitable[T], what: str) -> T:
        try:
            return await asyncio.wait_for(work, _MOST_SECONDS)
        except self._failed as error:
            raise StoreError(f"{self._name} does not let us {what}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    """Return what went wrong; the client writes pages, with all that it knows of the request."""
    return str(error).partition("\n")[0] or type(error).__name__


def _is_local(endpoint: str) -> bool:
    """Say whether the endpoint is plain HTTP, which is for this machine alone; raise ``ValueError`` for any other."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if parts.scheme == "https" and host:
        return False
    if parts.scheme == "http" and (host == "localhost" or _is_loopback(host)):
        return True
    raise ValueError(f"{endpoint!r} is not an https endpoint; plain http is for this machine alone")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _read_credentials(path: Path) -> dict[str, str]:
    """Return the keys of the default profile of an AWS credentials file; raise ``StoreError``."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
        profile = dict(parser[_PROFILE])
        found = {
            "access_key_id": profile["aws_access_key_id"],
            "secret_access_key": profile["aws_secret_access_key"],
        }
    except OSError as error:
        raise StoreError(f"the credentials cannot be read: {error}") from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # What stands in the file is not told: it is secret.
        raise StoreError(
            f"{path} has no profile [{_PROFILE}] with aws_access_key_id and aws_secret_access_key"
        ) from None
    if "aws_session_token" in profile:
        found["session_token"] = profile["aws_session_token"]
    return found
