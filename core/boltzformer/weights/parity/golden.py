"""One recorded file of the reference (`NAME.safetensors`, `NAME.json`), and one tensor of ours to hold against it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file
from torch import Tensor


class Made(NamedTuple):
    """One tensor of ours, to be held against the recorded one of the same name."""

    name: str
    """With `outputs/` or `replay/`."""
    value: Tensor
    way: str = "dense"
    """'dense' for the readable computation, 'fast' for the one that is used."""


class Golden:
    """One recorded file."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self.name = path.stem
        self.info: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.tensors: dict[str, Tensor] = load_file(path, device=device)

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
