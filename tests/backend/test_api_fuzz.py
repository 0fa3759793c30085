"""The API against its own description: whatever is sent, the answer is one that OpenAPI names, and never a 500."""

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
from serving import MODEL, Served, serving

from boltzformer import Prediction
from boltzformer.io.phantom import BRIGHT, phantom
from boltzformer.protocol import NewVolume

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
FUZZ = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def server() -> Any:
    with pytest.MonkeyPatch.context() as patch, serving(job_seconds=20, stall_seconds=5) as served:
        patch.setenv("BOLTZFORMER_OFFLINE", "1")  # whatever a request names, nobody outside is asked
        yield served


def fuzz(served: Served, cases: int) -> None:
    """Every operation gets its share, valid and broken. A real volume and a real job stand in for half of the ids."""
    schema = schemathesis.openapi.from_dict(served.http.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    small = phantom(3, (5, 32, 32)).volume
    volume = served.upload(small)
    job = served.ask(volume, small, BRIGHT, slices=[2]).json()["id"]
    served.events(job)
    known = {"volume": volume, "job": job}
    window = asdict(small.window())
    valid = {
        "/v1/volumes": asdict(NewVolume("<i2", small.grid, 0)),
        "/v1/jobs/segment": {
            "volume": volume,
            "prompts": [{"text": BRIGHT}],
            "window": window,
            "slices": [1],
            "model": MODEL,
        },
        "/v1/models/load": {"name": MODEL},
        "/v1/traces": {"volume": volume, "prompt": {"text": BRIGHT}, "window": window, "index": 1, "model": MODEL},
    }
    for operation in operations:
        attack(served, operation, -(-cases // len(operations)), known, valid.get(operation.path, {}))
    assert served.http.get("/health").json()["state"] == "ready"
    volume = served.upload(small)
    assert isinstance(served.events(served.ask(volume, small, BRIGHT, slices=[1]).json()["id"])[-1], Prediction)


def attack(served: Served, operation: Any, cases: int, known: dict[str, str], valid: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {served.token}"}
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]

    @settings(FUZZ, max_examples=cases)
    @given(data=st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(st.one_of(strategies))
        if data.draw(st.booleans()) and operation.method != "delete":
            for name in set(case.path_parameters or ()) & set(known):
                case.path_parameters[name] = known[name]
            if isinstance(case.body, dict) and valid:  # all as it should be but for one field
                odd = data.draw(st.sampled_from([*sorted(case.body), "none"]))
                case.body = {**valid, **{key: value for key, value in case.body.items() if key == odd}}
        case.headers = {**(case.headers or {}), **headers}
        case.call_and_validate(base_url=served.address, timeout=60, checks=CHECKS)

    ask()


def test_the_api_keeps_to_its_description(server: Served) -> None:
    fuzz(server, 300)


@pytest.mark.slow
def test_the_api_keeps_to_its_description_at_length(server: Served) -> None:
    fuzz(server, 2000)


def test_the_description_names_every_class_of_the_protocol(server: Served) -> None:
    told = server.http.get("/openapi.json").json()
    assert set(told["components"]["schemas"]) >= {"NewVolume", "SegmentRequest", "TraceRequest", "Health", "Problem"}
    assert told["components"]["securitySchemes"]
    small = phantom(3, (5, 32, 32)).volume
    assert set(asdict(small.window())) == set(told["components"]["schemas"]["Window"]["properties"])
