"""A model on labelled volumes, as a user opens them: 3-D Dice, and how many slices that hold nothing are marked.

    python benchmarks/volumes.py ../shared/data/volumes [--model default] [--taught mr_spine_sct_t1w …] [--every 4]
        [--gates 0.3 0.5 0.7]

Every label is asked for by its first prompt, on all slices, with the model's own thresholds. A folder holds NAME.json
beside NAME.nii.gz and NAME__label.nii.gz. `--taught` names volumes of patients that the model was taught on: they are
listed, and left out of the second mean. `--every 4` looks at a fourth of the slices, for a quick answer; `--gates` says
what other gates of existence would give.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import boltzformer
from boltzformer import Prediction, io
from boltzformer.engine.engine import Engine


@dataclass(frozen=True)
class Found:
    """What came out for one label of one volume."""

    volume: str
    target: str
    gate: float
    """Of existence."""
    dice: float
    empty: int
    """Slices that hold nothing of it."""
    marked: int
    """So many of them are marked."""
    seconds: float
    """Per slice, all labels of the volume together."""


def look_into(engine: Engine, path: Path, every: int, gates: Sequence[float]) -> list[Found]:
    said = json.loads(path.read_text("utf-8"))
    volume = io.read(path.parent / said["image"])
    truth = io.read_labels(path.parent / said["label"]).layers[0]
    parts = {int(value): (one["target"], one["prompts"][0]) for value, one in said["labels"].items()}
    axis = volume.slice_axis
    seen = list(range(0, truth.shape[axis], every))
    began = time.perf_counter()
    texts = [prompt for _, prompt in parts.values()]
    *_, last = engine.segment(volume, texts, slices=seen, cache_bytes=0)
    assert isinstance(last, Prediction)
    seconds, found = (time.perf_counter() - began) / len(seen), []
    for gate in dict.fromkeys((last.gate, *gates)):
        labels = last.labels(existence=gate)
        for number, (value, (target, _)) in enumerate(parts.items()):
            mask, wanted = (np.moveaxis(one, axis, 0)[seen] for one in (labels.mask(number + 1), truth == value))
            empty = ~wanted.any(axis=(1, 2))
            dice = 2 * float((mask & wanted).sum()) / max(1, int(mask.sum() + wanted.sum()))
            marked = int(mask.any(axis=(1, 2))[empty].sum())
            found.append(Found(path.stem, target, gate, dice, int(empty.sum()), marked, seconds))
    return found


def summary(found: Sequence[Found]) -> str:
    """The mean over targets of the mean over volumes; the share of marked slices likewise."""
    by_target: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        by_target[one.target].append(one)
    dice = [np.mean([one.dice for one in some]) for some in by_target.values()]
    marked = [
        np.mean([one.marked / one.empty for one in some if one.empty])
        for some in by_target.values()
        if any(one.empty for one in some)
    ]
    each = np.mean([one.dice for one in found])
    return (
        f"{len(by_target)} targets in {len({one.volume for one in found})} volumes: 3-D Dice {np.mean(dice):.3f} "
        f"(over all labels {each:.3f}), marked of what is empty {np.mean(marked):.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--taught", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", help="names of volumes")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--gates", type=float, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a .json for the numbers")
    told = parser.parse_args()
    engine = boltzformer.load(told.model)
    torch.set_num_threads(told.threads)
    found: list[Found] = []
    for path in sorted(told.folder.glob("*.json")):
        if told.only and path.stem not in told.only:
            continue
        for one in look_into(engine, path, told.every, told.gates):
            found.append(one)
            if one.gate != found[0].gate:
                continue
            share = f"{one.marked / one.empty:.2f}" if one.empty else "–"
            print(
                f"| {one.volume} | {one.target} | {one.dice:.3f} | {share} of {one.empty} | {one.seconds:.2f} s |",
                flush=True,
            )
    for gate in dict.fromkeys(one.gate for one in found):
        every = [one for one in found if one.gate == gate]
        apart = [one for one in every if one.volume not in told.taught]
        print(f"\nGate {gate:.2f}, all: {summary(every)}")
        if told.taught and apart:
            print(f"Of other patients: {summary(apart)}")
    if told.output:
        told.output.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
