"""One file = weights + configuration + history, as safetensors. A file fits key for key or is refused."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open

from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig

UNTRAINED = "not trained on medical images"
"""What every place that names the default model says until one is trained on real images."""


@dataclass(frozen=True)
class Checkpoint:
    """What a model file says of itself."""

    path: Path
    config: ModelConfig
    name: str
    note: str
    """What it was trained on, in words for the user."""
    sha256: str


def default_path() -> Path:
    """The model that the package carries."""
    return Path(str(files("boltzformer") / "assets" / "default.safetensors"))


def resolve(model: str | Path) -> Path:
    """'default' or a file → the file."""
    path = default_path() if str(model) == "default" else Path(model)
    if not path.is_file():
        raise CheckpointError(f"There is no model {str(model)!r}: give 'default' or the path of a .safetensors file.")
    return path


def save(model: BoltzFormer, path: Path, *, name: str, note: str) -> None:
    """Writes atomically: the file is there whole or not at all."""
    header = {"format": "boltzformer-1", "config": json.dumps(model.config.to_dict()), "name": name, "note": note}
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(safetensors.torch.save(weights, header))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(model: str | Path = "default") -> tuple[BoltzFormer, Checkpoint]:
    """The model in evaluation mode, and what its file says."""
    path = resolve(model)
    header = _header(path)
    config = ModelConfig.from_dict(json.loads(header["config"]))
    network = BoltzFormer(config)
    weights, expected = safetensors.torch.load_file(path), network.state_dict()
    wrong = sorted(weights.keys() ^ expected.keys())
    wrong += [key for key in weights.keys() & expected.keys() if weights[key].shape != expected[key].shape]
    if wrong:
        raise CheckpointError(
            f"The model file {path} does not fit its own configuration, first at {wrong[:3]}: get it again."
        )
    network.load_state_dict(weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return network.eval(), Checkpoint(path, config, header.get("name", path.stem), header.get("note", ""), digest)


def _header(path: Path) -> Mapping[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no complete .safetensors file: get the model again.") from error
    if header.get("format") != "boltzformer-1":
        raise CheckpointError(f"{path} is not a model of ours: it lacks the header 'boltzformer-1'.")
    return header
