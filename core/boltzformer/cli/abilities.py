"""What this installation can do, for scripts that shall not guess: `boltzformer info --json`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from boltzformer.cli.casework import NOT_THE_SAME, SOME_FAILED
from boltzformer.image.geometry import PLANES
from boltzformer.image.intensity import PRESETS
from boltzformer.io import EXTENSIONS
from boltzformer.io.cases import FORMATS
from boltzformer.knowledge.suggestions import MODALITIES
from boltzformer.weights import hub, registry

EXTRAS = {"napari": "napari", "train": "monai", "mcp": "mcp"}
"""Extra → a package that comes with it alone."""


def _models() -> dict[str, Path]:
    return {"default": registry.resolve("default"), **registry.registered()}


def registered_abilities() -> dict[str, Any]:
    """Names that options take, and what exit codes mean."""
    return {
        "models": {name: str(path) for name, path in _models().items()},
        "models on the hub": list(hub.KNOWN),
        "reads": sorted({*EXTENSIONS}),
        "writes": dict(FORMATS),
        "windows": ["auto", "percentiles", "stored", *PRESETS],
        "planes": list(PLANES),
        "modalities": list(MODALITIES),
        "extras": {extra: find_spec(package) is not None for extra, package in EXTRAS.items()},
        "exit codes": {
            "0": "done",
            str(NOT_THE_SAME): "not reproduced, or a check that missed",
            "2": "refused, and nothing written",
            str(SOME_FAILED): "some of several images failed",
            "130": "stopped by the user",
        },
    }
