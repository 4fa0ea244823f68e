"""The OpenAPI document against the served log: every operation that it describes answers as it says (specs/10 §5)."""

import base64
from collections import Counter
from contextlib import suppress
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

from exequatur_log.http import openapi
from tests.http.conftest import Served
from tests.log import scene

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]

HEALTH = list(HealthCheck)

signed = st.builds(scene.request)
statements = signed | st.binary(max_size=80) | st.builds(lambda data: data[:-1] + b"\x00", signed)
items = st.lists(statements, max_size=3) | st.lists(st.integers() | st.text(max_size=5), max_size=3)
schemathesis.openapi.media_type("application/cose", statements)
schemathesis.openapi.media_type("application/cbor", st.builds(cbor2.dumps, items) | st.binary(max_size=20))


@schemathesis.deserializer("application/cbor", "application/concise-problem-details+cbor")
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


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_every_operation_answers_as_it_is_described(served: Served, mode: GenerationMode) -> None:
    """S-28: whether it is asked as described, or not."""
    served.post(scene.request())
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    asked: Counter[str] = Counter()
    for found in document.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]  # an operation that is not one would fail here

        @settings(max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=HEALTH)
        @given(operation.as_strategy(generation_mode=mode))
        def agree(case: Any) -> None:
            case.call_and_validate(checks=CHECKS)
            asked[case.operation.label] += 1

        with suppress(Unsatisfiable):
            agree()
    described = {f"{method.upper()} {path}" for path, item in openapi.PATHS.items() for method in item}
    # What takes no parameters cannot be asked wrongly.
    assert asked.keys() >= (described | {"GET /lookup"} if mode is GenerationMode.POSITIVE else {"POST /entries"})


def test_what_is_asked_rightly_is_answered_well_and_as_it_is_described(served: Served) -> None:
    """S-28: the answers that chance does not find."""
    batch = cbor2.dumps([scene.request() for _ in range(300)])
    served.client.post("/entries/batch", content=batch, headers={"content-type": "application/cbor"})
    kid = base64.urlsafe_b64encode(scene.KEYS.receipt.public_key.thumbprint).rstrip(b"=").decode()
    entry, full = {"id": "5"}, {"number": "000"}
    good: list[tuple[str, str, int, dict[str, Any]]] = [
        ("GET", "/.well-known/scitt-keys/{kid}", 200, {"path_parameters": {"kid": kid}}),
        ("GET", "/proofs/inclusion", 200, {"query": {"index": 5, "size": 100}}),
        ("GET", "/proofs/consistency", 200, {"query": {"from": 5, "to": 100}}),
        ("GET", "/tile/{level}/{number}", 200, {"path_parameters": {**full, "level": "0"}}),
        ("GET", "/tile/{level}/{number}.p/{width}", 200, {"path_parameters": {**full, "level": "1", "width": "1"}}),
        ("GET", "/tile/entries/{number}", 200, {"path_parameters": full}),
        ("GET", "/tile/entries/{number}.p/{width}", 200, {"path_parameters": {**full, "width": "7"}}),
        *(("GET", f"/entries/{{id}}{end}", 200, {"path_parameters": entry}) for end in ("", "/fresh", "/statement")),
        ("GET", "/entries/{id}/tlog-proof", 200, {"path_parameters": entry}),
        ("POST", "/entries", 201, {"body": scene.request(), "media_type": "application/cose"}),
        (
            "POST",
            "/entries",
            202,
            {"body": scene.request(), "media_type": "application/cose", "headers": {"prefer": "respond-async"}},
        ),
        ("POST", "/entries/batch", 200, {"body": batch, "media_type": "application/cbor"}),
    ]
    document = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    for method, path, status, parts in good:
        answer = document[path][method].Case(**parts).call_and_validate(checks=CHECKS[:-1])
        assert answer.status_code == status, path


def test_the_document_has_every_route(served: Served) -> None:
    """S-28."""
    document = served.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == {*openapi.PATHS, "/lookup"}


def test_no_page_asks_another_host_for_scripts(served: Served) -> None:
    assert served.client.get("/docs").status_code == served.client.get("/redoc").status_code == 404
