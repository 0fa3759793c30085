"""Volumes with label maps as pictures to learn from: every slice as the engine would show it, the empty ones, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.image.slicing import SlicePlan
from boltzformer.knowledge.manifest import LICENSED
from boltzformer.learn.corpus import Picture

SPOILT = {"mr_brain_flair_ms_mslesseg_p39": frozenset({101})}
"""Slices (stored numbers) whose labels are known to be wrong."""


VALIDATES = frozenset({"mr_brain_hippocampus_011"})
"""Volumes whose patients are held back by the data's own split: their slices are found among its rows (correlation
0.999 with hippot1_10316)."""


def described(folder: Path) -> tuple[tuple[Path, dict[str, Any]], ...]:
    """(JSON file, what it says) of each volume of a folder whose licence allows to pass the weights on."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text("utf-8"))
            names = [
                said["image"],
                said["label"],
                said["case_id"],
                *(said["labels"][k]["target"] for k in said["labels"]),
            ]
            fits = all(isinstance(name, str) for name in names) and all(key.isdigit() for key in said["labels"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BoltzFormerError(
                f"{path} does not describe a labelled volume ({error}): mend or remove it."
            ) from error
        if not fits:
            raise BoltzFormerError(f"{path} does not describe a labelled volume: mend or remove it.")
        if said.get("commercial_use") == LICENSED and path.stem not in VALIDATES:
            found.append((path, said))
    if not found:
        raise BoltzFormerError(f"{folder} holds no labelled volume (.json) whose licence allows to train on it.")
    return tuple(found)


def hash_of_volumes(folder: Path) -> str:
    """Of what `pictures_of_volumes` reads."""
    found = hashlib.sha256()
    for path, said in described(folder):
        sizes = [(path.parent / said[name]).stat().st_size for name in ("image", "label")]
        found.update(json.dumps([said, *sizes], sort_keys=True).encode())
    return found.hexdigest()


def pictures_of_volumes(folder: Path) -> Iterator[Picture]:
    """Every slice along the axis that a user would get, whole, in the canonical view. A part's mask may be empty."""
    for path, said in described(folder):
        volume = io.read(path.parent / said["image"])
        stored, window = io.read_labels(path.parent / said["label"]).layers[0], volume.window()
        plan = SlicePlan.of(volume.grid, 1, volume.slice_axis)
        seen, marked = plan.view.apply(volume.array), plan.view.apply(stored)
        parts = {one["target"]: (int(value), tuple(one["prompts"])) for value, one in said["labels"].items()}
        for index in range(plan.count):
            if index in SPOILT.get(path.stem, ()):
                continue
            at = plan.canonical_index(index)
            plane = torch.from_numpy(np.ascontiguousarray(window.apply(seen[at])))[None]
            truth = np.ascontiguousarray(marked[at])
            yield Picture(
                plane,
                F.avg_pool2d(plane[None].float(), 2, ceil_mode=True)[0].round().to(torch.uint8),
                {target: torch.from_numpy((truth == value).astype(np.uint8)) for target, (value, _) in parts.items()},
                {target: prompts for target, (_, prompts) in parts.items()},
                said["case_id"],
                str(said.get("modality", "")),
                str(said.get("anatomy", "")),
                f"volume: {said.get('dataset', path.stem)}",
                centred=False,
                index=index,
            )
