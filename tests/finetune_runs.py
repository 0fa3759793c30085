"""Calls of `boltzformer finetune` for its tests, manifests cut out of the package's own images, a small dataset."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import boltzformer
from boltzformer.dataset import Dataset
from boltzformer.image.geometry import Grid
from boltzformer.types import Annotation, LabelMap, Prompt, SliceState, Volume

SHAPE = (4, 48, 40)
MINI = Path(boltzformer.__file__).parent / "assets" / "mini" / "manifest.jsonl"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def manifest(folder: Path, targets: Sequence[str]) -> Path:
    """Rows of the mini set, in a manifest of their own."""
    rows = [json.loads(line) for line in MINI.read_text("utf-8").splitlines()]
    chosen = [row for row in rows if row["target"] in targets]
    for row in chosen:
        row |= {name: str(MINI.parent / row[name]) for name in ("image", "mask")}
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in chosen), "utf-8")
    return path


def command(data: Path, base: Path, output: Path, *more: str) -> list[str]:
    own = [
        "finetune",
        str(data),
        "--model",
        str(base),
        "-o",
        str(output),
        "--threads",
        "1",
        "--device",
        "cpu",
        "--json",
    ]
    return [sys.executable, "-m", "boltzformer", *own, *more]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, check=False)


def annotated(store: Dataset, patient: int) -> None:
    """A bright box on two reviewed slices, one slice reviewed as empty, one unseen."""
    rng = np.random.default_rng(patient)
    array = rng.integers(0, 60, SHAPE).astype(np.uint8)
    mask = np.zeros((1, *SHAPE), np.uint8)
    mask[0, :2, 10:20, 12 : 20 + patient] = 1
    array[mask[0] > 0] = 200
    volume = Volume(array, Grid.pixels(SHAPE), "CT")
    states = (SliceState.REVIEWED, SliceState.REVIEWED, SliceState.EMPTY, SliceState.UNSEEN)
    labels = LabelMap(mask, volume.grid, {1: "box"})
    store.add(
        Annotation(volume, labels, (Prompt("bright box in CT", "box"),), {"box": states}, axis=0), patient=f"p{patient}"
    )
