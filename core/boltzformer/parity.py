"""Replays recorded tensors of the reference ("goldens") and says, tensor by tensor, whether we give the same numbers.

A folder holds pairs `NAME.safetensors` (inputs, weights, outputs, masks) and `NAME.json` (configuration, tolerances).
Nothing here depends on particular shapes: every model is built from the configuration beside its tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from boltzformer.errors import CheckpointError


class Made(NamedTuple):
    """One tensor of ours, to be held against the recorded one of the same name."""

    name: str
    """With `outputs/` or `replay/`."""
    value: Tensor
    way: str = "dense"
    """'dense' for the readable computation, 'fast' for the one that is used."""


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


class Golden:
    """One recorded file."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self.info: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.tensors: dict[str, Tensor] = load_file(path)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The reference's own configuration."""
        config: dict[str, Any] = self.info.get("config", {})
        return config

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """Weights by the reference's names."""
        return {n.removeprefix("state/"): t for n, t in self.tensors.items() if n.startswith("state/")}

    def input(self, name: str) -> Tensor:
        """A recorded input."""
        return self.tensors[f"inputs/{name}"]

    def cases(self) -> list[str]:
        """Prefixes such as 'case0/' for files with several cases, else one empty prefix."""
        found = {n.split("/")[1] for n in self.tensors if n.startswith("inputs/") and n.count("/") > 1}
        return [f"{case}/" for case in sorted(found)] or [""]

    def tolerance(self, name: str) -> tuple[float, float]:
        """Absolute and relative."""
        suggested = self.info["tolerance"]["suggested"]
        rtol = float(suggested.get("rtol", 0))
        if "atol_all" in suggested:
            return float(suggested.get("atol_per_output", {}).get(name, suggested["atol_all"])), rtol
        kind = name.rsplit("/", 1)[-1]
        dtype = str(self.tensors[name].dtype).removeprefix("torch.")
        for key in (f"{kind}_{dtype}_atol", f"{kind}_atol"):
            if key in suggested:
                return float(suggested[key]), rtol
        return 0.0, 0.0  # labels, masks, bytes: exactly


def replay(directory: str | Path) -> Iterator[Row]:
    """Every recorded file in a folder, one row per tensor."""
    folder = Path(directory)
    files = sorted(path for path in folder.glob("*.safetensors") if path.with_suffix(".json").exists())
    if not files:
        raise CheckpointError(f"{folder} holds no recorded tensors: give a folder with NAME.safetensors and NAME.json.")
    for path in files:
        yield from _judge(Golden(path))


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
    ours, theirs = made.value.detach().double(), wanted.double()
    both_nan = ours.isnan() & theirs.isnan()
    equal = (ours == theirs) | both_nan  # infinities too
    error = torch.where(equal, 0.0, (ours - theirs).abs())
    limit = atol + rtol * torch.where(theirs.isfinite(), theirs.abs(), 0.0)
    passed = bool((error <= limit).all())  # false for a NaN on one side only
    worst = float(error.max()) if error.numel() else 0.0
    return Row(golden.name, made.name, made.way, worst if math.isfinite(worst) else None, atol, passed)


def _computation(name: str) -> Callable[[Golden], Iterator[Made]]:
    """Which replay a file needs, by the beginning of its name."""
    from boltzformer.parity_models import MODELS  # here, because these modules need the types above
    from boltzformer.parity_parts import PARTS

    known = {**PARTS, **MODELS}
    for prefix in sorted(known, key=len, reverse=True):
        if name.startswith(prefix):
            return known[prefix]
    raise CheckpointError(f"Nothing is known about recordings called {name!r}.")
