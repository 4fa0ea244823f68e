"""Tokens: one that is good, and each check with one thing flipped."""

import hmac
import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode

from exequatur_issuer.identity import keys, oidc
from exequatur_issuer.identity.errors import CredentialError, KeysUnavailableError
from exequatur_issuer.identity.keys import AGAIN, IssuerKeys
from exequatur_issuer.identity.oidc import Provider, Token, Verifier
from exequatur_verifier.errors import MalformedError

NOW = 1_800_000_000
ISSUER = "https://login.example"
KEY = ECKey.generate_key("P-256", {"kid": "one", "use": "sig"})
OTHER = ECKey.generate_key("P-256", {"kid": "one"})
EDWARDS = OKPKey.generate_key("Ed25519", {"kid": "two"})
PROVIDER = Provider(ISSUER, "exequatur", ("ES256", "Ed25519"), "keys.json", "urn:example:user:{sub}")
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "exequatur",
    "sub": "u-1",
    "client_id": "agent-1",
    "iat": NOW - 10,
    "nbf": NOW - 10,
    "exp": NOW + 300,
}
HEADER = {"alg": "ES256", "kid": "one"}


def jwks(*listed: Any) -> bytes:
    return json.dumps({"keys": [one.as_dict(private=False) for one in listed]}).encode()


def verifier(provider: Provider = PROVIDER, read: Callable[[], bytes] | None = None) -> Verifier:
    found = IssuerKeys(read or (lambda: jwks(KEY, EDWARDS)), max_age=provider.max_age, stale=provider.stale)
    return Verifier({provider.issuer: (provider, found)})


def sign(
    claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any
) -> str:
    found = {**CLAIMS, **changes} if claims is None else claims
    found = {name: value for name, value in found.items() if value is not None}
    head = {**HEADER, **(header or {})}
    algorithms = [head["alg"]]
    return jwt.encode({name: head[name] for name in head if head[name] is not None}, found, key, algorithms)


def refused(token: str, now: int = NOW, **more: Any) -> str:
    with pytest.raises(CredentialError) as caught:
        verifier(**more).verify(token, now)
    assert len(token) < 8 or token not in str(caught.value)
    return str(caught.value)


def test_a_good_token_names_user_and_client() -> None:
    """H-11 H-13"""
    expected = Token(ISSUER, "u-1", "urn:example:user:u-1", "agent-1")
    assert verifier().verify(sign(), NOW) == expected
    assert verifier().verify(sign(header={"alg": "Ed25519", "kid": "two"}, key=EDWARDS), NOW) == expected
    assert verifier().verify(sign(header={"typ": "at+jwt"}, aud=["other", "exequatur"]), NOW) == expected


@pytest.mark.parametrize(
    "header",
    [
        {"kid": None},
        {"kid": "three"},
        {"kid": "x" * 257},
        {"typ": "dpop+jwt"},
        {"typ": "secevent+jwt"},
    ],
)
def test_a_header_is_one_of_an_access_token(header: dict[str, Any]) -> None:
    """H-11"""
    refused(sign(header=header))


def test_critical_headers_are_refused() -> None:
    """H-11"""
    head, payload, signature = sign().split(".")
    told = json.loads(urlsafe_b64decode(head.encode())) | {"crit": ["exp"], "exp": NOW}
    refused(f"{oidc_encode(json.dumps(told))}.{payload}.{signature}")


def oidc_encode(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode()


def test_algorithms_are_the_issuers_and_never_none_or_shared_secrets() -> None:
    """H-11"""
    _, payload, _ = sign().split(".")
    for algorithm in ("none", "None", "HS256", "RS256", "ES384"):
        told = oidc_encode(json.dumps({"alg": algorithm, "kid": "one"}))
        assert "algorithm" in refused(f"{told}.{payload}.")
    # The public key as the secret of an HMAC.
    told = oidc_encode(json.dumps({"alg": "HS256", "kid": "one"}))
    code = hmac.digest(KEY.as_pem(private=False), f"{told}.{payload}".encode(), "sha256")
    assert "algorithm" in refused(f"{told}.{payload}.{urlsafe_b64encode(code).decode()}")


def test_an_algorithm_is_also_the_keys() -> None:
    """H-11"""
    bound = ECKey.import_key({**KEY.as_dict(private=True), "alg": "ES384"})
    assert "not its key's" in refused(sign(), read=lambda: jwks(bound))
    # One of another family than the key's.
    refused(sign(header={"alg": "Ed25519"}, key=EDWARDS))


def test_a_signature_is_by_the_published_key() -> None:
    """H-11"""
    assert "does not hold" in refused(sign(key=OTHER))
    head, payload, signature = sign().split(".")
    _, other, _ = sign(sub="u-2").split(".")
    refused(f"{head}.{other}.{signature}")
    refused(f"{head}.{payload}.{signature[:-4]}AAAA")
    refused(f"{head}.{payload}.")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": None},
        {"aud": "exequatur2"},
        {"exp": NOW - 60},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"exp": -1},
        {"nbf": NOW + 61},
        {"nbf": "x"},
        {"iat": NOW + 61},
        {"iat": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"act": {}},
        {"act": "agent-1"},
        {"act": {"sub": 1}},
        {"client_id": ""},
    ],
    ids=str,
)
def test_claims_are_each_checked(claims: dict[str, Any]) -> None:
    """H-11"""
    refused(sign(**claims))


def test_times_have_one_leeway() -> None:
    """H-11"""
    for name, offset in (("exp", -59), ("nbf", 60), ("iat", 60)):
        assert verifier().verify(sign({**CLAIMS, name: NOW + offset}), NOW).subject == "u-1"
    strict = PROVIDER._replace(leeway=0)
    refused(sign(exp=NOW), provider=strict)
    assert verifier(strict).verify(sign(exp=NOW + 1), NOW)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "a.b.c.d.e", "é.b.c", "x" * 9000 + ".b.c", "e30.e30.", "."])
def test_what_is_no_token_is_refused(token: str) -> None:
    """H-11"""
    refused(token)


def test_payloads_that_are_no_object_are_refused() -> None:
    """H-11"""
    head, _, signature = sign().split(".")
    for payload in ("[]", "7", "{", '{"iss": {}}'):
        refused(f"{head}.{oidc_encode(payload)}.{signature}")


def test_the_actor_is_the_agent_and_a_client_alone_has_no_user() -> None:
    """H-13"""
    token = verifier().verify(sign(act={"sub": "agent-9", "act": {"sub": "agent-8"}}), NOW)
    assert (token.user, token.client) == ("urn:example:user:u-1", "agent-9")
    assert verifier().verify(sign(client_id=None, azp="agent-2"), NOW).client == "agent-2"
    assert verifier().verify(sign(client_id=None), NOW).client is None
    alone = verifier().verify(sign(sub="agent-1"), NOW)
    assert (alone.user, alone.client) == (None, "agent-1")
    # Whoever acts for a user of the client's name acts for a user.
    assert verifier().verify(sign(sub="agent-1", act={"sub": "agent-1"}), NOW).user is not None


def test_names_are_encoded_so_that_no_other_template_can_make_them() -> None:
    """H-13"""
    assert oidc.expand("urn:a:{sub}", "b:1 é@x") == "urn:a:b%3A1%20%C3%A9@x"
    assert oidc.contract("urn:a:{sub}", "urn:a:b%3A1%20%C3%A9@x") == "b:1 é@x"
    for other in ("urn:b:1", "urn:a:", "urn:a:b:1", "1"):
        assert oidc.contract("urn:a:{sub}", other) is None
    with pytest.raises(CredentialError):
        oidc.expand("urn:a:{sub}", "é" * 200)


def test_nothing_of_a_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """H-11"""
    with caplog.at_level(logging.DEBUG):
        for token in (sign(), sign(key=OTHER), "x.y.z"):
            with suppress(CredentialError):
                verifier().verify(token, NOW)
            assert not any(part in caplog.text for part in token.split(".") if len(part) > 3)


class Source:
    """A set of keys that can be away, and counts how often it is read."""

    def __init__(self) -> None:
        self.data: bytes | None = jwks(KEY)
        self.reads = 0

    def __call__(self) -> bytes:
        self.reads += 1
        if self.data is None:
            raise OSError("away")
        return self.data


def test_keys_are_kept_for_a_while_and_then_fetched_again() -> None:
    """H-12"""
    source = Source()
    found = IssuerKeys(source, max_age=300, stale=3600)
    for now in (0, 10, 300):
        found.find("one", now)
    assert source.reads == 1
    found.find("one", 301)
    assert source.reads == 2


def test_keys_that_cannot_be_fetched_again_serve_until_they_are_stale() -> None:
    """H-12"""
    source = Source()
    found = IssuerKeys(source, max_age=300, stale=3600)
    found.find("one", 0)
    source.data = None
    found.find("one", 3600)
    with pytest.raises(KeysUnavailableError):
        found.find("one", 3601)
    source.data = jwks(KEY)
    with pytest.raises(KeysUnavailableError):
        found.find("one", 3602)  # It was just tried.
    found.find("one", 3601 + AGAIN)
    with pytest.raises(KeysUnavailableError):
        IssuerKeys(lambda: b"{}", max_age=1, stale=1).find("one", 0)


def test_a_clock_that_went_back_makes_keys_no_younger() -> None:
    """H-12"""
    source = Source()
    found = IssuerKeys(source, max_age=300, stale=3600)
    found.find("one", 1000)
    source.data = None
    with pytest.raises(KeysUnavailableError):
        found.find("one", 900)


def test_an_unknown_key_is_looked_for_once_in_a_while() -> None:
    """H-12: a flood of made-up key ids is no flood of fetches."""
    source = Source()
    found = IssuerKeys(source, max_age=300, stale=3600)
    found.find("one", 0)
    for _ in range(50):
        with pytest.raises(CredentialError):
            found.find("nine", 1 + AGAIN)
    assert source.reads == 2
    source.data = jwks(KEY, ECKey.generate_key("P-256", {"kid": "nine"}))
    found.find("nine", 1 + 2 * AGAIN)


def test_a_set_holds_public_signature_keys() -> None:
    """H-12"""
    short = {"kty": "RSA", "kid": "short", "n": "AQAB" * 40, "e": "AQAB"}
    listed = [
        KEY.as_dict(private=True),
        {**OTHER.as_dict(private=False), "kid": "enc", "use": "enc"},
        {"kty": "oct", "kid": "secret", "k": "AAAA"},
        {**OTHER.as_dict(private=False), "kid": None},
        RSAKey.generate_key(2048, {"kid": "rsa"}).as_dict(private=False),
        short,
        "nothing",
    ]
    found = keys.parse(json.dumps({"keys": listed}).encode())
    assert sorted(found) == ["one", "rsa"]
    assert not found["one"].is_private


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        json.dumps({"keys": [KEY.as_dict(private=False)] * 2}).encode(),
        json.dumps({"keys": [{"kty": "EC", "kid": "x"}]}).encode(),
        json.dumps({"keys": [{"kty": "EC", "kid": "x", "crv": "P-256", "x": "AA", "y": "AA"}]}).encode(),
        json.dumps({"keys": [{}] * 65}).encode(),
    ],
)
def test_a_set_that_is_none_is_refused(data: bytes) -> None:
    """H-12"""
    with pytest.raises(MalformedError):
        keys.parse(data)


def test_keys_come_from_a_file_or_by_https(tmp_path: Path) -> None:
    """H-12"""
    (tmp_path / "keys.json").write_bytes(jwks(KEY))
    assert keys.parse(keys.reader("keys.json", tmp_path)())
    with pytest.raises(OSError, match="missing"):
        keys.reader("missing.json", tmp_path)()
    (tmp_path / "long.json").write_bytes(b" " * (keys.MAX_SET + 1))
    with pytest.raises(MalformedError):
        keys.reader("long.json", tmp_path)()
    for address in ("http://login.example/keys", "ftp://login.example/keys", "file:///etc/passwd"):
        with pytest.raises(MalformedError):
            keys.reader(address, tmp_path)


def test_fetching_is_bounded_and_follows_nobody(tmp_path: Path) -> None:
    """H-12"""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("location", "/keys")
                self.end_headers()
                return
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()
            self.wfile.write(jwks(KEY) if self.path == "/keys" else b" " * (keys.MAX_SET * 2))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            assert keys.parse(keys.reader(f"{url}/keys", tmp_path)())
            for path in ("moved", "broken"):
                with pytest.raises(OSError, match="answers"):
                    keys.reader(f"{url}/{path}", tmp_path)()
            with pytest.raises(MalformedError):
                keys.reader(f"{url}/long", tmp_path)()
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(OSError, match="127"):
        keys.reader(f"{url}/keys", tmp_path)()
