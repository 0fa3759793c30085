"""The sample case that the package carries: a real FLAIR volume with its mask, origin and licence beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from boltzformer import io
from boltzformer.types import LabelMap, Volume


@dataclass(frozen=True)
class Sample:
    """A case, a prompt, and a slice that is worth opening at."""

    volume: Volume
    truth: LabelMap
    prompt: str
    index: int
    facts: dict[str, Any]


def sample() -> Sample:
    """Patient 19 of the Ljubljana MS database; excluded from all training."""
    folder = Path(str(files("boltzformer") / "assets" / "sample"))
    facts = json.loads((folder / "sample.json").read_text("utf-8"))
    volume, mask = io.read(folder / facts["image"]), io.read(folder / facts["label"])
    truth = LabelMap((mask.array > 0).astype("uint8")[None], volume.grid, {1: facts["target"]})
    return Sample(volume, truth, facts["prompt"], facts["slice"], facts)
