"""The keys of a token issuer: a JWK set from a file or an address, kept for a while, and for how long at most.

    fresh    younger than ``max_age``: used as they are
    older    fetched again; if that fails, used until they are older than ``stale``
    unknown  a key id that the set does not have: fetched again, if that was not just done

Of a set only public signature keys of asymmetric algorithms count, by their key ids. A set with one id twice is
refused, because a token would not say which of them it means.
"""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from exequatur_verifier.errors import MalformedError

from .errors import CredentialError, KeysUnavailableError

Key = RSAKey | ECKey | OKPKey

MAX_SET: Final = 64 << 10
MAX_KEYS: Final = 64
# How soon a set is asked for again when a key is not in it, or it could not be had (seconds).
AGAIN: Final = 10
_TIMEOUT: Final = 5.0
_KINDS: Final[Mapping[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
# What 2,048 bits are in base64url.
_LEAST_MODULUS: Final = 342
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class IssuerKeys:
    """The keys of one issuer. Safe to use from several threads."""

    def __init__(self, read: Callable[[], bytes], *, max_age: int, stale: int) -> None:
        """``read`` fetches the set; it raises ``OSError`` or ``MalformedError`` when it cannot."""
        self._read = read
        self._max_age = max_age
        self._stale = stale
        self._keys: Mapping[str, Key] = {}
        self._fetched: int | None = None
        self._tried: int | None = None
        self._lock = threading.Lock()

    def find(self, kid: str, now: int) -> Key:
        """Return the key of that id; raise ``CredentialError`` or ``KeysUnavailableError``."""
        with self._lock:
            if self._age(now) > self._max_age or (kid not in self._keys and self._may_try(now)):
                self._refresh(now)
            if self._age(now) > self._stale:
                raise KeysUnavailableError("the keys of the token's issuer cannot be fetched; ask again later")
            if kid not in self._keys:
                raise CredentialError("the token is signed with a key that its issuer does not publish")
            return self._keys[kid]

    def _age(self, now: int) -> float:
        # A clock that went back makes a set older, never younger.
        return float("inf") if self._fetched is None or now < self._fetched else now - self._fetched

    def _may_try(self, now: int) -> bool:
        return self._tried is None or not 0 <= now - self._tried < AGAIN

    def _refresh(self, now: int) -> None:
        if not self._may_try(now):
            return
        self._tried = now
        try:
            self._keys = parse(self._read())
        except (OSError, MalformedError):
            # What is kept serves as long as it may; that it could not be renewed shows when it may no longer.
            return
        self._fetched = now


def parse(data: bytes) -> Mapping[str, Key]:
    """Return the usable keys of a JWK set by their ids; raise ``MalformedError``."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError("a JWK set is a JSON object") from error
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise MalformedError(f"a JWK set has a list of at most {MAX_KEYS} keys")
    keys: dict[str, Key] = {}
    for item in listed:
        kid = item.get("kid") if isinstance(item, dict) else None
        if not isinstance(kid, str) or not _is_for_signatures(item):
            continue
        if kid in keys:
            raise MalformedError("a JWK set has one key id twice")
        try:
            keys[kid] = _KINDS[item["kty"]].import_key({name: item[name] for name in item if name != "d"})
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise MalformedError("a JWK set has a key that is none") from error
    return keys


def _is_for_signatures(item: Mapping[str, Any]) -> bool:
    kind = item.get("kty")
    if kind not in _KINDS or item.get("use", "sig") != "sig":
        return False
    # A short modulus is passed over, not refused: what it signs then proves nothing.
    return kind != "RSA" or len(str(item.get("n", ""))) >= _LEAST_MODULUS


def reader(place: str, folder: Path) -> Callable[[], bytes]:
    """Return what fetches the set at an address, or in a file of ``folder``; raise ``MalformedError`` for neither.

    An address is https, or of this very host. No redirect is followed and no proxy of the environment asked, and no
    more than 64 KiB are read.
    """
    if "://" not in place:
        return lambda: _bounded((folder / place).read_bytes())
    address = urlsplit(place)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in _LOOPBACK):
        raise MalformedError(f"keys are fetched by https, not from {place}")
    return lambda: _fetch(place)


def _fetch(address: str) -> bytes:
    try:
        with (
            httpx2.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", address, headers={"accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise OSError(f"{address} answers {response.status_code}")
            data = b""
            for part in response.iter_bytes(MAX_SET):
                data = _bounded(data + part)
            return data
    except httpx2.HTTPError as error:
        raise OSError(f"{address}: {error}") from None


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_SET:
        raise MalformedError(f"a JWK set is at most {MAX_SET} bytes")
    return data
