"""Replays recorded tensors of the reference ("goldens") and says, tensor by tensor, whether we give the same numbers.

A folder holds pairs `NAME.safetensors` (inputs, weights, outputs, masks) and `NAME.json` (configuration, tolerances).
Nothing here depends on particular shapes: every model is built from the configuration beside its tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from boltzformer.errors import CheckpointError
from boltzformer.weights.parity.golden import Golden, Made
from boltzformer.weights.parity.models import MODELS
from boltzformer.weights.parity.parts import PARTS, STEPS


@dataclass(frozen=True)
class Row:
    """The verdict on one tensor."""

    file: str
    tensor: str
    way: str
    error: float | None
    """Largest absolute difference; None if there is no number to compare."""
    tolerance: float
    """Absolute; the file's relative tolerance comes on top."""
    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """Counts over all rows. A tensor passes if it does on every way that computes it."""

    tensors: int
    tensors_passed: int
    files: int
    files_passed: int

    @property
    def passed(self) -> bool:
        """Whether there was something to compare and nothing differed."""
        return self.files > 0 and self.files == self.files_passed

    def __str__(self) -> str:
        return f"{self.tensors_passed} of {self.tensors} tensors, {self.files_passed} of {self.files} files"


def replay(directory: str | Path, device: str = "cpu") -> Iterator[Row]:
    """Every recorded file in a folder, one row per tensor; on another device only what models compute there."""
    folder = Path(directory)
    files = sorted(path for path in folder.glob("*.safetensors") if path.with_suffix(".json").exists())
    if not files:
        raise CheckpointError(f"{folder} holds no recorded tensors: give a folder with NAME.safetensors and NAME.json.")
    for path in files:
        if device != "cpu" and path.stem.startswith(tuple(STEPS)):  # cut and put back by numpy, wherever the model is
            continue
        with torch.device(device):
            rows = list(_judge(Golden(path, device)))
        yield from rows


def summarize(rows: Iterable[Row]) -> Summary:
    """Counts over all rows; only `outputs/` are counted as tensors, but a wrong mask fails its file too."""
    tensors: dict[tuple[str, str], bool] = {}
    files: dict[str, bool] = {}
    for row in rows:
        files[row.file] = files.get(row.file, True) and row.passed
        if row.tensor.startswith("outputs/"):
            key = row.file, row.tensor
            tensors[key] = tensors.get(key, True) and row.passed
    return Summary(len(tensors), sum(tensors.values()), len(files), sum(files.values()))


def _judge(golden: Golden) -> Iterator[Row]:
    wanted = [name for name in sorted(golden.tensors) if name.startswith("outputs/")]
    note = "not computed"
    seen: set[str] = set()
    try:
        for made in _computation(golden.name)(golden):
            if made.name in golden.tensors:
                seen.add(made.name)
                yield _compare(golden, made)
    except Exception as error:  # whatever goes wrong, its tensors are misses, and the other files still count
        note = f"{type(error).__name__}: {error}"
    for name in wanted:
        if name not in seen:
            yield Row(golden.name, name, "dense", None, golden.tolerance(name)[0], False, note)


def _compare(golden: Golden, made: Made) -> Row:
    wanted, (atol, rtol) = golden.tensors[made.name], golden.tolerance(made.name)
    if made.value.shape != wanted.shape:
        note = f"shape {tuple(made.value.shape)} instead of {tuple(wanted.shape)}"
        return Row(golden.name, made.name, made.way, None, atol, False, note)
    ours, theirs = made.value.detach().cpu().double(), wanted.cpu().double()
    both_nan = ours.isnan() & theirs.isnan()
    equal = (ours == theirs) | both_nan  # infinities too
    error = torch.where(equal, 0.0, (ours - theirs).abs())
    limit = atol + rtol * torch.where(theirs.isfinite(), theirs.abs(), 0.0)
    passed = bool((error <= limit).all())  # false for a NaN on one side only
    worst = float(error.max()) if error.numel() else 0.0
    return Row(golden.name, made.name, made.way, worst if math.isfinite(worst) else None, atol, passed)


def _computation(name: str) -> Callable[[Golden], Iterator[Made]]:
    """Which replay a file needs, by the beginning of its name."""
    known = {**PARTS, **STEPS, **MODELS}
    for prefix in sorted(known, key=len, reverse=True):
        if name.startswith(prefix):
            return known[prefix]
    raise CheckpointError(f"Nothing is known about recordings called {name!r}.")
