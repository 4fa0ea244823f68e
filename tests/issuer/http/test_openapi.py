"""The OpenAPI document against the service: every operation that it describes answers as it says (specs/12 §8)."""

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cbor2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from exequatur_issuer.http import asked as forms
from exequatur_issuer.http import openapi
from exequatur_log.http import server
from exequatur_verifier import cbor
from tests.issuer.house import House
from tests.issuer.http.service import AGENT_KEY, APPROVER, APPROVER_KEY, TOOLS, Service, call, form_of
from tests.issuer.http.test_approvals import Queue, approval, pending
from tests.issuer.http.test_authzen import ALICE, FIRST, question
from tests.issuer.ledger import MemoryLog

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]
HEALTH = list(HealthCheck)
KEYS = [AGENT_KEY, APPROVER_KEY, "not-a-key-of-anybody"]


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(House(tmp_path_factory.mktemp("house"), MemoryLog(), TOOLS))
    queue = Queue({APPROVER: [pending()]})
    service.ports = service.ports._replace(approvals=queue)
    yield service
    service.close()


@pytest.fixture(scope="module")
def url(tools: Service) -> Iterator[str]:
    """The address of the service, as it is really served."""
    listener = server.listen("127.0.0.1", 0)
    loop, stops, ready = asyncio.new_event_loop(), list[Callable[[], None]](), threading.Event()

    def started(stop: Callable[[], None]) -> None:
        stops.append(stop)
        ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=(server._run(tools.app, listener, started),))
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop.call_soon_threadsafe(stops[0])
    thread.join(30)
    loop.close()


@schemathesis.deserializer("application/vnd.exequatur.pending+cbor", "application/concise-problem-details+cbor")
def as_json(_: Any, response: Any) -> Any:
    """What RFC 8949 §6.1 makes of CBOR."""

    def converted(value: Any) -> Any:
        if isinstance(value, bytes):
            return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
        if isinstance(value, list):
            return [converted(item) for item in value]
        if isinstance(value, dict):
            return {str(key): converted(item) for key, item in value.items()}
        return value

    return converted(cbor2.loads(response.content))


def bodies(service: Service) -> st.SearchStrategy[bytes]:
    """Forms: good ones, with one byte or field otherwise, and none."""

    def good() -> bytes:
        return forms.encode(form_of(service.house.asked(call(), {})))

    def changed(name: str) -> bytes:
        fields = cbor.decode_map(good())
        fields[name] = 0 if name in ("ttl", "uses") else b"\x00" * 16
        return cbor.encode(fields)

    names = st.sampled_from(["v", "request", "salt", "descriptor", "facts", "runtime", "ttl", "uses", "x"])
    return st.builds(good) | st.builds(changed, names) | st.binary(max_size=40)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_every_operation_answers_as_it_is_described(tools: Service, url: str, mode: GenerationMode) -> None:
    """H-26: whether it is asked as described, or not."""
    schemathesis.openapi.media_type(forms.MEDIA_TYPE, bodies(tools))
    schemathesis.openapi.media_type("application/cose", st.builds(lambda: tools.house.asked().request) | st.binary())
    document = schemathesis.openapi.from_url(f"{url}/authority/openapi.json")
    asked: Counter[str] = Counter()
    allowed: Counter[bool] = Counter()
    for found in document.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an operation that is not one would fail here

        @settings(max_examples=15, derandomize=True, deadline=None, database=None, suppress_health_check=HEALTH)
        @given(operation.as_strategy(generation_mode=mode), st.sampled_from(KEYS))
        def agree(case: Any, key: str) -> None:
            response = case.call_and_validate(checks=CHECKS, headers={"authorization": f"Bearer {key}"})
            asked[case.operation.label] += 1
            if case.operation.label.endswith("/evaluation") and response.status_code == 200:
                allowed[response.json()["decision"]] += 1

        with suppress(Unsatisfiable):
            agree()
    described = {f"{method.upper()} {path}" for path, item in openapi.PATHS.items() for method in item}
    judged = {"POST /access/v1/evaluation", "POST /access/v1/evaluations"}
    assert asked.keys() >= (described if mode is GenerationMode.POSITIVE else judged)
    # Nobody is allowed anything by chance.
    assert not allowed[True]


def test_what_is_asked_rightly_is_answered_well_and_as_it_is_described(tools: Service, url: str) -> None:
    """H-26: the answers that chance does not find."""
    agent, approver = ({"authorization": f"Bearer {key}"} for key in (AGENT_KEY, APPROVER_KEY))
    read = question(ALICE, "read", FIRST)
    good: list[tuple[str, str, int, dict[str, Any]]] = [
        ("POST", "/authorize", 200, {"body": forms.encode(form_of(tools.house.asked(call(), {})))}),
        ("POST", "/authorize", 403, {"body": forms.encode(form_of(tools.house.asked(call("pay"), {})))}),
        ("POST", "/plan", 200, {"body": forms.encode(form_of(tools.house.asked(call(), {})))}),
        ("POST", "/approvals", 201, {"body": approval(tools), "media_type": "application/cose"}),
        ("GET", "/approvals", 200, {"headers": approver}),
        ("GET", "/approvals/{request}", 200, {"path_parameters": {"request": bytes(32).hex()}, "headers": approver}),
        ("POST", "/access/v1/evaluation", 200, {"body": read, "headers": agent}),
        ("POST", "/access/v1/evaluations", 200, {"body": read | {"evaluations": [{}, {}]}, "headers": agent}),
        ("GET", "/.well-known/authzen-configuration", 200, {}),
    ]
    document = schemathesis.openapi.from_url(f"{url}/authority/openapi.json")
    for method, path, status, parts in good:
        case: Any = document[path][method].Case(**parts)
        answer = case.call_and_validate(checks=CHECKS[:-1])
        assert answer.status_code == status, path


def test_the_document_has_every_route(tools: Service, house: House) -> None:
    """H-26"""
    document = tools.client.get("/authority/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == openapi.PATHS.keys()
    bare = Service(house, "", Path())
    described = bare.client.get("/authority/openapi.json").json()["paths"]
    bare.close()
    assert described.keys() == {"/authorize", "/plan", "/approvals"}
    assert described["/approvals"].keys() == {"post"}
