"""LoRA: W + up·down on every matrix and 1×1 convolution, trained while W stays.

Merging computes the same sum, so it is exact. The adapter alone can be passed on where the base may not; it names the
hash of the base that it belongs to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
import typer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from boltzformer.atomic import replacing
from boltzformer.errors import CheckpointError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.layers import Attention
from boltzformer.speaking import say
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint, History, is_half

FORMAT = "boltzformer adapter 1"
SCALE = 2.0
"""Of the product: as usual, twice the rank over the rank."""


class LowRank(nn.Module):
    """A correction of low rank to one weight. It begins as nothing."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        rank = min(rank, rows, columns)
        start = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        self.down = nn.Parameter(start.to(weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        """(out, in, …), of the weight's own shape."""
        return corrected(weight, self.up, self.down)


def corrected(weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The one definition, for training and for merging."""
    return weight + SCALE * (up @ down).view_as(weight)


def places(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """(module, name of its weight) of everything that a correction fits on, each once, in a fixed order."""
    for module in model.modules():
        plain = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
        if plain:
            yield module, "weight"
        if isinstance(module, Attention):
            yield module, "in_proj_weight"


def adapt(model: nn.Module, rank: int, seed: int) -> None:
    """Puts corrections on; all else is frozen."""
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for module, name in list(places(model)):
        weight = getattr(module, name)
        parametrize.register_parametrization(module, name, LowRank(weight, rank, generator))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith((".up", ".down")))


def merged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of an adapted model as that of a plain one."""
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stem, mark, rest = name.partition(".parametrizations.")
        if not mark:
            made[name] = tensor
        elif rest.endswith(".original"):
            weight = rest.removesuffix(".original")
            up, down = (state[f"{stem}.parametrizations.{weight}.0.{part}"] for part in ("up", "down"))
            made[f"{stem}.{weight}"] = corrected(tensor, up, down)
    return made


def save_adapter(path: Path, trained: Mapping[str, Tensor], about: Checkpoint) -> None:
    """Only what was trained, with the hash of its base and what the whole model says of itself."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.items()}
    told = {"config": json.dumps(about.config.to_dict()), "history": json.dumps(asdict(about.history))}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"format": FORMAT, "base": about.history.parent, **told})


def read_adapter(path: Path, base: str) -> tuple[dict[str, Tensor], ModelConfig, History]:
    """The trained tensors, if they belong to the base with this hash, and what they make of it."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is no whole adapter file ({error}): copy it again.") from error
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no adapter: give the adapter.safetensors of a run with --mode lora.")
    if header.get("base") != base:
        raise CheckpointError(
            f"{path} was trained on another base model (sha256 {str(header.get('base'))[:12]}…, not {base[:12]}…): "
            "give the model that it names with --model."
        )
    return tensors, ModelConfig.from_dict(json.loads(header["config"])), History(**json.loads(header["history"]))


def apply_adapter(state: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A plain model's state with the corrections added, and with what was trained beside them."""
    made = dict(state)
    for name, tensor in trained.items():
        stem, mark, rest = name.partition(".parametrizations.")
        if not mark:
            made[name] = tensor
        elif rest.endswith(".0.up"):
            weight = f"{stem}.{rest.removesuffix('.0.up')}"
            if weight not in made:
                raise CheckpointError(f"The adapter corrects {weight}, which the model lacks: give the right --model.")
            made[weight] = corrected(made[weight], tensor, trained[name.removesuffix("up") + "down"])
    return made


def join(adapter: Path, base: str | Path, output: Path) -> Checkpoint:
    """Base and adapter as one model: the very file that the training made."""
    model, about = checkpoint.load(base)
    trained, config, history = read_adapter(adapter, about.sha256)
    whole = BoltzFormer(config, model.text.tokenizer)
    checkpoint.fill(whole, apply_adapter(model.state_dict(), trained), adapter)
    return checkpoint.save(output, whole, history, half=is_half(about.path))


def join_command(
    adapter: Annotated[Path, typer.Argument(help="adapter.safetensors of a run with --mode lora.")],
    model: Annotated[str, typer.Option(help="The base that it was trained on: a registered name or a file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors file to write.")],
) -> None:
    """Make a model of an adapter and the base that it belongs to."""
    about = join(adapter, model, output)
    say(f"{output} (sha256 {about.sha256[:12]})")
