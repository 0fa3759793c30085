"""`Checkpoint`: one `.safetensors` = weights + config + tokenizer + history. Strict, atomic, and never runs code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from boltzformer.atomic import replacing
from boltzformer.errors import CheckpointError
from boltzformer.json_text import loads
from boltzformer.model import boltzmann
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ConfigError, ModelConfig
from boltzformer.model.text import TableTokenizer

FORMAT = "boltzformer 1"
"""Written into every file; a file without it holds weights only."""
UNTRAINED = "not trained on medical images"
"""What every place that names the default model says until one is trained on real images."""
IMAGE_SIDE = ("backbone.", "sem_seg_head.pixel_decoder.", "sem_seg_head.predictor.input_proj.")
"""Beginnings of the names of all weights that see the image alone."""
SHOWN = 5
"""So many offending names are spelled out in an error."""


@dataclass(frozen=True)
class History:
    """Where a model comes from."""

    name: str = ""
    parent: str = ""
    """Name or hash of the checkpoint that training started from."""
    data: str = ""
    """What it was trained on."""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    licence: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Anything else that should travel with the weights, e.g. a calibration. JSON values."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a file says about its model, without the weights."""

    path: Path
    config: ModelConfig
    history: History
    tokenizer: str
    """A token table as JSON; empty for models that read bytes."""
    parameters: int

    @cached_property
    def sha256(self) -> str:
        """Of the file, for the provenance of what the model makes."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def save(path: str | Path, model: BoltzFormer, history: History, *, half: bool = False) -> Checkpoint:
    """Write a model. The file appears whole or not at all: what is at `path` stays until the new one is on the disk.

    `half`: rounded to 16 bits, half the size; it computes in 32 again once it is loaded.
    """
    target = Path(path)
    tokenizer = model.text.tokenizer
    header = {
        "format": FORMAT,
        "config": json.dumps(model.config.to_dict()),
        "history": json.dumps(asdict(history)),
        "tokenizer": tokenizer.table if isinstance(tokenizer, TableTokenizer) else "",
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(target) as part:
            save_file(state, part, metadata=header)
            _sort_header(part)
    except OSError as error:
        raise CheckpointError(
            f"{target} can't be written ({error}): free some space or choose another folder."
        ) from error
    return read(target)


def _sort_header(path: Path) -> None:
    """The library writes our entries in random order; in a fixed one, the same model is the same file."""
    with path.open("rb+") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
        entries["__metadata__"] = dict(sorted(entries["__metadata__"].items()))
        text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= length:  # always so far; a longer one would move the weights
            file.seek(8)
            file.write(text.ljust(length))


def read(path: str | Path) -> Checkpoint:
    """What a file says about its model. Quick: no weights are loaded."""
    source = Path(path)
    _refuse_foreign(source)
    with _opened(source) as file:
        header = file.metadata() or {}
        parameters = sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys())  # noqa: SIM118
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{source} holds weights but does not say of which model: "
            "published ones are converted once, with `boltzformer models import FILE`."
        )
    try:
        config = ModelConfig.from_dict(loads(header["config"]))
        known = {f.name for f in fields(History)}
        history = History(**{name: value for name, value in loads(header["history"]).items() if name in known})
    except (ConfigError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{source} describes its model wrongly: {error}") from error
    return Checkpoint(source, config, history, header.get("tokenizer", ""), parameters)


def is_ours(path: Path) -> bool:
    """Whether this program wrote a file, or at least its beginning."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def load(path: str | Path) -> tuple[BoltzFormer, Checkpoint]:
    """The model, on the CPU and ready for use, and what its file says. Every name and shape must fit."""
    checkpoint = read(path)
    with _opened(checkpoint.path) as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    table = checkpoint.tokenizer
    try:
        tokenizer = TableTokenizer(table) if table else None
        with torch.device("meta"), _Unfilled():  # nothing is initialised only to be overwritten
            model = BoltzFormer(checkpoint.config, tokenizer)
    except Exception as error:  # the tokenizer library raises nothing more precise
        raise CheckpointError(f"{checkpoint.path} describes a model that can't be built: {error}") from error
    fill(model, state, checkpoint.path)
    return model.eval(), checkpoint


class _Unfilled(TorchFunctionMode):
    """Draws nothing at random: for tensors without memory torch would load its compiler, which takes a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func.__name__.endswith("normal_"):
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


def fill(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Put weights into a model, or say which names don't fit. `source` is named in the error."""
    expected = model.state_dict()
    complaints = [
        _complaint("lacks", [name for name in expected if name not in state]),
        _complaint("has the unknown", [name for name in state if name not in expected]),
        _complaint(
            "has the wrong shape at",
            [
                f"{name} ({tuple(state[name].shape)} instead of {tuple(tensor.shape)})"
                for name, tensor in expected.items()
                if name in state and state[name].shape != tensor.shape
            ],
        ),
        _complaint(
            "does not hold floating point numbers at",
            [name for name in expected if name in state and not state[name].is_floating_point()],
        ),
    ]
    found = [complaint for complaint in complaints if complaint]
    if found:
        raise CheckpointError(
            f"{source} does not fit the model that it names: it {'; it '.join(found)}. "
            "Get it again; if you changed the configuration, train from a model with the same one."
        )
    # Copied, so that the numbers lie aligned as in the model that was saved: some CPU kernels round differently
    # otherwise, and a loaded model shall answer bit for bit as before. It also lets go of the file.
    wanted = {name: tensor.to(expected[name].dtype, copy=True) for name, tensor in state.items()}
    model.load_state_dict(wanted, strict=True, assign=True)


def is_half(path: Path) -> bool:
    """Whether a file keeps its weights in 16 bits: then the new one does, too, and what did not change stays exact."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        return all(file.get_slice(name).get_dtype() in ("F16", "BF16") for name in names)


def image_side(model: nn.Module, config: ModelConfig) -> str:
    """Hash of everything that an image meets before a prompt does: features belong to it, not to the whole model."""
    described = {name: value for name, value in config.to_dict().items() if name not in ("text", "decoder")}
    decoder = config.decoder
    # The sampling law decides how tokens lie in memory, and some kernels round differently then.
    described["tokens"] = [decoder.strides, decoder.hidden, boltzmann.expected_density(decoder), decoder.law]
    if decoder.kind != "queries":  # no other decoder has its guesses at token resolution made beforehand
        described["tokens"].append(decoder.kind)
    found = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(IMAGE_SIDE):
            found.update(f"{name} {tuple(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _complaint(what: str, names: list[str]) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {', '.join(names[:SHOWN])}{rest}"


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}): it was cut off or damaged; download or copy it again."
        ) from error


def _refuse_foreign(path: Path) -> None:
    """Tell the usual wrong files apart by their first bytes. Nothing in them is interpreted."""
    if not path.is_file():
        raise CheckpointError(
            f"There is no model at {path}: give 'default', a name from `boltzformer models list`, "
            "the path of a .safetensors file, or owner/repository:file on the hub."
        )
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror}): check its permissions.") from error
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is only a Git-LFS pointer, not the weights: run `git lfs pull` in its folder.")
    if start.startswith((b"PK\x03\x04", b"\x80")) and not _is_header(start):
        raise CheckpointError(
            f"{path} is a pickle, which could run any code on this computer, so it is not opened: make it a "
            ".safetensors file once, which runs nothing, with `boltzformer models import FILE`."
        )


def _is_header(start: bytes) -> bool:
    """A safetensors file begins with the length of its JSON header, then the JSON."""
    return start[8:9] == b"{"
