"""What is written beside every result: enough to make it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from boltzformer.engine.answering import Question
from boltzformer.engine.devices import Place, name_of
from boltzformer.image.hashing import hash_of_voxels as hash_of_voxels
from boltzformer.image.intensity import Window
from boltzformer.image.region import Region
from boltzformer.image.slicing import SlicePlan
from boltzformer.image.tiling import OVERLAP, Tiling
from boltzformer.masks.lessons import Adapter
from boltzformer.types import GATE, Adjusted, SliceResult, Volume
from boltzformer.version import VERSION
from boltzformer.weights.checkpoint import Checkpoint


def describe(
    about: Checkpoint,
    place: Place,
    volume: Volume,
    voxels: str,
    plan: SlicePlan,
    window: Window,
    region: Region | None,
    question: Question,
    slices: Sequence[SliceResult],
    adjusted: Sequence[Adjusted],
    adapter: Adapter | None = None,
    tiling: Tiling | None = None,
    scout: Mapping[str, int] | None = None,
) -> Mapping[str, Any]:
    """As plain JSON values; `voxels` is the volume's hash."""
    decoder = about.config.decoder
    return {
        "software": software(),
        "model": {"name": about.history.name, "sha256": about.sha256, "trained on": about.history.data},
        "image": {"name": volume.name, "sha256": voxels},
        "prompts": [prompt.text for prompt in question.prompts],
        "names": [prompt.name for prompt in question.prompts],
        "seed": question.seed,
        "samples": question.samples,
        "window": {"low": window.low, "high": window.high, "kind": window.kind, "zero": window.zero_is_background},
        "plan": {
            "plane": plan.plane,
            "axis": plan.axis,
            "size": plan.size,
            "channels": plan.channels,
            "resampler": plan.resampler,
        },
        **({} if tiling is None else {"tiles": {"side": plan.size, "overlap": OVERLAP, "shape": list(tiling.shape)}}),
        **({} if scout is None else {"scout": dict(scout)}),
        "region": None if region is None else asdict(region),
        "guidance": [asdict(one) for one in question.guidance],
        "slices": [one.index for one in slices],
        "gate lifted": [
            {"slice": one.index, "prompts": [prompt.text for n, prompt in enumerate(question.prompts) if one.lifted[n]]}
            for one in slices
            if one.lifted is not None
        ],
        "law": decoder.law,
        "temperature": decoder.base_temperature,
        "ratio": decoder.sample_ratio,
        "device": place.device.type,
        "dtype": place.precision,
        **({} if place.drawing == place.dtype else {"dtype after the pixel decoder": name_of(place.drawing)}),
        "threads": torch.get_num_threads(),
        "thresholds": {"mask": 0.5, "existence": own_gate(about)},
        "existence kind": "classifier" if decoder.existence else "largest mask probability, uncalibrated",
        "adjusted": [{"what": one.what, "why": one.why} for one in adjusted],
        **({} if adapter is None else {"adapter": {"id": adapter.id, **adapter.facts()}}),
        "logits sha256": hash_of_logits(slices),
        "notice": "Research only, not for clinical use.",
    }


def software() -> str:
    """What computed."""
    return f"napari-boltzformer {VERSION}, torch {torch.__version__}, numpy {np.__version__}"


def own_gate(about: Checkpoint) -> float:
    """The least existence for a mask, by the checkpoint's note 'existence threshold', else the same for all."""
    return float(about.history.notes.get("existence threshold", GATE))


def hash_of_logits(slices: Iterable[SliceResult]) -> str:
    """Of all answers: equal hashes are equal masks at every threshold and gate."""
    found = hashlib.sha256()
    for one in slices:
        found.update(f"{one.index}".encode() + one.logits.tobytes() + one.existence.tobytes())
        for more in (one.lifted, one.given):
            if more is not None:
                found.update(more.tobytes())
    return found.hexdigest()
