"""Tokens at the service: both of whom they name, both of whom must be allowed, and nobody else."""

from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from exequatur_issuer.http.settings import parse
from exequatur_verifier.errors import MalformedError
from tests.issuer.house import NOW, House
from tests.issuer.http.service import SETTINGS, TOOLS, Make, Service, call, form_of, problem
from tests.issuer.http.test_authzen import ALICE, FIRST, question
from tests.issuer.identity.test_oidc import CLAIMS, HEADER, ISSUER, KEY, jwks
from tests.issuer.ledger import REQUESTER, MemoryLog

PROVIDER = f"""
[[providers]]
issuer = "{ISSUER}"
audience = "exequatur"
algorithms = ["ES256"]
jwks = "keys.json"
user = "urn:example:user:{{sub}}"
"""
CLIENTS = f'clients = [{{issuer = "{ISSUER}", id = "agent-1"}}]\nsubjects'
USER = "urn:example:user:alice"


@pytest.fixture
def trusting(tmp_path: Path, make: Make) -> Service:
    """Return a service that trusts the issuer, under rules for its user."""
    (tmp_path / "keys.json").write_bytes(jwks(KEY))
    rules = TOOLS.sources.replace(b'User::"alice"', f'User::"{USER}"'.encode())
    house = House(tmp_path, MemoryLog(), TOOLS._replace(sources=rules))
    settings = PROVIDER + SETTINGS.replace("subjects", CLIENTS)
    return make(house, settings, tmp_path)


def token(key: ECKey = KEY, **claims: Any) -> str:
    told = {**CLAIMS, "iat": NOW, "nbf": NOW, "exp": NOW + 300, "sub": "alice", **claims}
    return jwt.encode(HEADER, {name: value for name, value in told.items() if value is not None}, key, ["ES256"])


def bearer(shown: str) -> dict[str, str]:
    return {"authorization": f"Bearer {shown}"}


def test_a_token_names_the_user_and_its_client_is_the_agent(trusting: Service) -> None:
    """H-13 H-14"""
    agents = [{"type": "agent", "id": name} for name in ("agent-1", REQUESTER)]
    for subject in (ALICE, {"type": "user", "id": USER}, *agents):
        found = trusting.evaluate(question(subject, "write", FIRST), key=token()).json()
        assert found["decision"] is True
        # Whichever of them the payload names, both were asked about.
        assert found["context"]["reasons"] == ["agent", "alice-writes"]


def test_a_payload_cannot_name_anybody_else(trusting: Service) -> None:
    """H-13"""
    for kind, name in (("user", "bob"), ("user", "urn:example:user:bob"), ("agent", "agent-2"), ("robot", "alice")):
        response = trusting.evaluate(question({"type": kind, "id": name}, "read", FIRST), key=token())
        assert response.status_code == 403
    # The patterns of an agent's API keys say nothing of its tokens.
    assert trusting.evaluate(question(ALICE, "read", FIRST)).status_code == 200


@pytest.mark.parametrize("claims", [{"client_id": "agent-2"}, {"client_id": None}, {"act": {"sub": "agent-3"}}])
def test_a_client_that_is_nobodys_agent_may_not_ask(trusting: Service, claims: dict[str, Any]) -> None:
    """H-13"""
    response = trusting.evaluate(question(ALICE, "read", FIRST), key=token(**claims))
    assert (response.status_code, response.headers["exequatur-code"]) == (403, "AGENT_UNKNOWN")


def test_a_client_for_itself_has_no_user(trusting: Service) -> None:
    """H-13"""
    itself = {"type": "agent", "id": "agent-1"}
    found = trusting.evaluate(question(itself, "write", FIRST), key=token(sub="agent-1")).json()
    assert found["context"]["reasons"] == ["agent"]
    assert trusting.evaluate(question(ALICE, "write", FIRST), key=token(sub="agent-1")).status_code == 403


def test_a_bad_token_is_nobodys(trusting: Service) -> None:
    """H-11"""
    other = ECKey.generate_key("P-256", {"kid": "one"})
    for shown in (token(exp=NOW - 100), token(key=other), token(aud="x")):
        response = trusting.evaluate(question(ALICE, "read", FIRST), key=shown)
        assert (response.status_code, response.headers["exequatur-code"]) == (401, "CREDENTIAL_INVALID")
        assert shown not in response.text


def test_an_issuer_that_is_away_is_away_for_now(trusting: Service, tmp_path: Path) -> None:
    """H-12"""
    (tmp_path / "keys.json").unlink()
    response = trusting.evaluate(question(ALICE, "read", FIRST), key=token())
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_a_signed_request_names_the_tokens_user_and_no_other(trusting: Service) -> None:
    """H-15"""
    house = trusting.house

    def post(user: str | None, shown: str) -> Any:
        claims = None if user is None else {"user": user}
        return trusting.post("/authorize", form_of(house.asked(call("write"), {}, claims=claims)), **bearer(shown))

    assert post(USER, token()).status_code == 200
    for user, shown in (
        (None, token()),
        ("urn:example:user:bob", token()),
        ("alice", token()),
        (USER, token(sub="bob")),
    ):
        assert problem(post(user, shown))["code"] == "SUBJECT_MISMATCH"
    assert post(None, token(sub="agent-1")).status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "queue = 0",
        "queue = 5000",
        "[[agents]]",
        PROVIDER + PROVIDER,
        PROVIDER.replace("{sub}", ""),
        PROVIDER.replace("{sub}", "{sub}{sub}"),
        PROVIDER.replace("ES256", "HS256"),
        PROVIDER.replace("ES256", "none"),
        PROVIDER.replace('["ES256"]', "[]"),
        PROVIDER + "leeway = 601",
        PROVIDER + "stale = 0",
        SETTINGS.replace("tokens", CLIENTS.removesuffix("subjects") + "tokens", 1),
        SETTINGS.replace("https://pdp", "http://pdp"),
        SETTINGS.replace("pdp.example", "pdp.example/"),
        SETTINGS.replace("pdp.example", "pdp.example?x"),
        SETTINGS.replace('role = "subject.properties.role"', 'role = "properties.role"', 1),
        SETTINGS.replace('role = "subject.properties.role"', 'role = "subject"', 1),
        SETTINGS.replace("tokens = [", 'tokens = ["00", '),
        SETTINGS + f'[[agents]]\nrequester = "x"\nkey = "x"\nruntime = "x"\n{SETTINGS.splitlines()[5]}\n',
        "not TOML",
    ],
)
def test_settings_that_mean_two_things_or_none_are_refused(text: str) -> None:
    """H-10"""
    parse(SETTINGS)
    parse(PROVIDER)
    with pytest.raises(MalformedError):
        parse(text)


def test_addresses_of_keys_are_judged_when_the_service_starts(house: House) -> None:
    """H-12"""
    with pytest.raises(MalformedError, match="https"):
        Service(house, PROVIDER.replace("keys.json", "http://login.example/keys"))
