"""The API against its own description: whatever is sent, the answer is one that OpenAPI names, and never a 500."""

import os
from dataclasses import asdict
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving import Served, serving

from boltzformer.phantom import BRIGHT, phantom

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FUZZ = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def server() -> Any:
    with serving(job_seconds=20, stall_seconds=5) as served:
        yield served


def fuzz(served: Served, cases: int, seed_word: str) -> None:
    """Every operation gets its share. A real volume and a real job stand in for half of the ids that are made up."""
    headers = {"Authorization": f"Bearer {served.token}"}
    schema = schemathesis.openapi.from_dict(served.http.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    small = phantom(3, (5, 32, 32)).volume
    volume = served.upload(small)
    job = served.ask(volume, small, BRIGHT, slices=[2]).json()["id"]
    served.events(job)
    known = {"volume": volume, "job": job, "model": "default"}

    for operation in operations:

        @settings(FUZZ, max_examples=-(-cases // len(operations)))
        @given(data=st.data())
        def ask(data: st.DataObject, operation: Any = operation) -> None:
            case = data.draw(operation.as_strategy())
            if data.draw(st.booleans()) and operation.method != "delete":
                case.path_parameters = {**(case.path_parameters or {})}
                case.path_parameters |= {k: v for k, v in known.items() if k in case.path_parameters}
                if isinstance(case.body, dict) and "volume" in case.body:
                    case.body["volume"] = volume
            case.headers = {**(case.headers or {}), **headers}
            response = case.call(base_url=served.address, timeout=60, stream="events" in operation.path)
            case.validate_response(response, checks=CHECKS, headers=headers)

        ask()
    health = served.http.get("/health").json()
    assert health["state"] == "ready", seed_word
    assert served.events(served.ask(volume, small, BRIGHT, slices=[1]).json()["id"])[-1].plan.count == 5


def test_the_api_keeps_to_its_description(server: Served) -> None:
    fuzz(server, 300, os.environ.get("PYTEST_XDIST_WORKER", ""))


@pytest.mark.slow
def test_the_api_keeps_to_its_description_at_length(server: Served) -> None:
    fuzz(server, 2000, "")


def test_the_description_names_every_class_of_the_protocol(server: Served) -> None:
    told = server.http.get("/openapi.json").json()
    assert set(told["components"]["schemas"]) >= {"NewVolume", "SegmentRequest", "TraceRequest", "Health", "Problem"}
    assert told["components"]["securitySchemes"]
    small = phantom(3, (5, 32, 32)).volume
    assert set(asdict(small.window())) == set(told["components"]["schemas"]["Window"]["properties"])
