"""The line about the engine: where it runs, whether it is ready, how long it takes for a slice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from boltzformer import BoltzFormerError, Session, SliceResult
from boltzformer.phantom import phantom
from napari_boltzformer.knowledge import Knowledge


def wait_until_ready(session: Session) -> Mapping[str, Any]:
    """Starts the engine → its health, once it is no longer starting."""
    try:
        while (health := session.health())["state"] == "starting":
            time.sleep(0.1)
    except BoltzFormerError as error:
        return {"state": "failed", "error": str(error)}
    return health


def line(health: Mapping[str, Any], seconds: float | None) -> str:
    """'Engine: this computer, ready (CPU, about 0.5 s per slice). Model: …'."""
    if health["state"] != "ready":
        return f"Engine: {health['error']}"
    device = {"cpu": "CPU", "cuda": "GPU", "mps": "GPU"}.get(health["device"], health["device"])
    speed = "" if seconds is None else f", about {max(seconds, 0.01):.2g} s per slice"
    return f"Engine: this computer, ready ({device}{speed}). Model: {health['model']}, {health['note']}."


def seconds_per_slice(session: Session) -> float | None:
    """Measured on a generated image: the first slice warms up, the second one counts."""
    came: list[float] = []
    for event in session.segment(phantom(1, (2, 64, 64)).volume, "bright blob"):
        if isinstance(event, SliceResult):
            came.append(time.monotonic())
    return came[1] - came[0] if len(came) == 2 else None


def knowledge_of(session: Session) -> Knowledge:
    """The card of the session's own model."""
    state = next((one for one in session.models() if one.name == session.model), None)
    return Knowledge(asked=True) if state is None else Knowledge.of(state)
