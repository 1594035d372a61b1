"""The API against its own OpenAPI document: what is answered, to whoever asks whatever, is what the document says."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.access.tokens import ROLES, issue_token
from api.http.answers import ANSWERS
from api.http.examples import EXAMPLES
from api.http.openapi import operations
from tests.api.conftest import Live, serve
from tests.api.factory import settings_at
from tests.api.plant import KNOWN, fill

ENDLESS = "/api/verdicts/stream"  # test_stream.py reads it
OPEN_ENDED = ("IncidentView", "Report", "Error")  # they carry what others tell, key by key
EXAMPLES_EACH = int(os.environ.get("QCFUSE_FUZZ_EXAMPLES", "8"))  # of a route for an admin; others a third of it
#: Server errors that are answers: this plant has no fusion role, this version no such format.
EXPECTED = (("/readyz", 503), ("/api/batches/{batch_id}/report", 501))


def no_server_error(_context: object, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """Also 503 is none, though the document names it: the store is there."""
    if response.status_code >= 500 and (case.operation.path, response.status_code) not in EXPECTED:
        raise AssertionError(f"{response.status_code}: {response.content[:300]!r}")


CHECKS = [
    no_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("schema") / "home"
    with serve(settings_at(home, person_requests_s_max=100_000, address_requests_s_max=100_000)) as served:
        fill(served)
        yield served


@pytest.fixture(scope="module")
def document(live: Live) -> dict[str, Any]:
    with live.client("admin") as client:
        answer = client.get("/api/openapi.json")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every object closed: an answer's key that it does not name is a failure."""
    closed = copy.deepcopy(document)
    for name, schema in closed["components"]["schemas"].items():
        if "properties" in schema and name not in OPEN_ENDED:
            schema["additionalProperties"] = False
    return closed


def test_every_route_of_the_document_says_what_it_answers(document: dict[str, Any]) -> None:
    """A new route fails here until it stands in `api/http/answers.py`."""
    routes = {(method, path) for method, path, _ in operations(document)}
    assert routes == set(ANSWERS)


@pytest.mark.parametrize("route", sorted(EXAMPLES))
def test_an_example_is_one_of_what_the_document_describes(document: dict[str, Any], route: str) -> None:
    """`python tests/api/write_examples.py` writes them anew."""
    method, _, path = route.partition(" ")
    schema = strict(document)
    told = document["paths"][path][method.lower()]
    if "answer" in EXAMPLES[route]:
        status = str(ANSWERS[method, path].status)
        assert_fits(
            schema, told["responses"][status]["content"]["application/json"]["schema"], EXAMPLES[route]["answer"]
        )
    if "request" in EXAMPLES[route]:
        assert_fits(schema, told["requestBody"]["content"]["application/json"]["schema"], EXAMPLES[route]["request"])


def assert_fits(document: dict[str, Any], schema: dict[str, Any], example: object) -> None:
    """Raises jsonschema's error, which names the place."""
    jsonschema_rs.validate({**schema, "components": document["components"]}, example)


def test_the_document_is_one_for_a_person_too(live: Live) -> None:
    with live.client("inspector") as client:
        page = client.get("/docs")
    assert page.status_code == 200
    for method, path in ANSWERS:
        assert f'id="{method}-{path}"' in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text


@pytest.mark.parametrize("role", ROLES)
def test_whatever_is_asked_is_answered_as_the_document_says(live: Live, document: dict[str, Any], role: str) -> None:
    schema = schemathesis.openapi.from_dict(strict(document))
    headers = {"Authorization": f"Bearer {issue_token(live.settings, f'fuzz-{role}', role)}"}
    failed: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path == ENDLESS:
            continue
        known = {name: value for name, value in KNOWN.items() if "{" + name + "}" in operation.path}
        cases = st.one_of(operation.as_strategy(), operation.as_strategy(path_parameters=known or None))
        if operation.body or operation.query:
            cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        examples = EXAMPLES_EACH if role == "admin" else max(2, EXAMPLES_EACH // 3)

        @hypothesis.settings(
            max_examples=examples,
            database=None,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=cases)
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=live.base, headers=headers, checks=CHECKS)

        try:
            ask()
        except (AssertionError, FailureGroup) as trouble:
            failed.append(f"{operation.label}: {trouble}")
    assert not failed, "\n\n".join(failed)
