"""The folder of a training: its plan, its states, each whole or not there, its log, its model; and the mean of several
models."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from boltzformer.atomic import flush, private_folder, write_text
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.evaluate.report import sha256_of
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.corpus import Corpus, token_table
from boltzformer.learn.recipe import Recipe
from boltzformer.learn.train import Trainer, fit
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig, default
from boltzformer.model.lite import LiteEncoder, fill_published
from boltzformer.model.text import TableTokenizer
from boltzformer.speaking import say
from boltzformer.types import Progress
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint, History
from boltzformer.weights.convert.archive import old_weights

STATE = "state-"
SUMS = "sha256.json"
"""In each state: what its files must hash to."""
MODEL = "model.safetensors"
UNREADABLE = (SafetensorError, OSError, KeyError, RuntimeError, ValueError)
"""What comes of a state that is damaged or of another model."""
FILE_BYTES = 15 * 2**20
"""Of a file of a state: a machine that is only lent may give back no larger ones."""


@dataclass(frozen=True)
class Plan:
    """What a run is: written when it begins; a run that goes on must have the same."""

    recipe: Recipe
    data: str
    """Hash of the rows that it learns from."""
    threads: int
    """More or fewer would add up in another order."""
    init: str
    """Hash of the checkpoint that it starts from; empty for none."""
    encoder: str = ""
    """Hash of the published weights of its image encoder; empty for none."""
    processes: int = 1
    """Under torchrun; likewise."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "recipe": self.recipe.to_dict()}


def configured(recipe: Recipe) -> ModelConfig:
    """The model that a recipe trains."""
    data = default().to_dict()
    for name, value in recipe.config.items():
        # another image encoder has sizes of its own; another decoder keeps what it shares with ours
        other = (
            name == "encoder" and isinstance(value, Mapping) and value.get("kind", "") not in ("", data[name]["kind"])
        )
        data[name] = {**data[name], **value} if isinstance(value, Mapping) and not other else value
    data["pigma"] = data["pigma"] or None  # TOML has no word for nothing: a recipe says ""
    return ModelConfig.from_dict(json.loads(json.dumps(data)))


def begin(
    recipe: Recipe,
    rows: tuple[Row, ...],
    corpus: Corpus,
    init: Path | None,
    device: torch.device,
    encoder: Path | None = None,
    world: int = 1,
) -> Trainer:
    """A fresh trainer: random weights from the recipe's seed, or those of a checkpoint with the same configuration.

    A checkpoint with another image encoder gives all that fits: words, decoder, most of the pyramid. `encoder` is a
    file of published weights for the recipe's own.
    """
    config = configured(recipe)
    torch.manual_seed(recipe.seed)
    if init is None:
        texts = {text for row in rows for text in row.prompts}
        model = BoltzFormer(config, TableTokenizer(token_table(texts, config.text.vocabulary)))
    else:
        model, about = checkpoint.load(init)
        torch.manual_seed(recipe.seed)
        if about.config != config:
            model = _with_encoder_of(config, model, init)
    if encoder is not None:
        if not isinstance(model.backbone, LiteEncoder):
            raise CheckpointError("The recipe's image encoder is not 'lite', and only for that weights are published.")
        fill_published(model.backbone, old_weights(encoder), str(encoder))
    return Trainer(model.to(device), recipe, corpus.targets, world=world)


def _with_encoder_of(config: ModelConfig, start: BoltzFormer, source: Path) -> BoltzFormer:
    """A model of this configuration, with what it shares with another that differs in the image encoder alone."""
    eyes = ("encoder", "pixel_mean", "pixel_std")
    if replace(start.config, **{name: getattr(config, name) for name in eyes}) != config:
        raise CheckpointError(
            f"{source} differs from the recipe's model in more than the image encoder: train without --init."
        )
    model = BoltzFormer(config, start.text.tokenizer)
    wanted, known = model.state_dict(), start.state_dict()
    shared = {
        name: known[name]
        for name, tensor in wanted.items()
        if name in known and known[name].shape == tensor.shape and not name.startswith(("backbone.", "pixel_"))
    }
    model.load_state_dict({**wanted, **shared})
    return model


def hash_of(rows: tuple[Row, ...]) -> str:
    """Of the files that a run learns from: names, sizes, targets and prompts."""
    found = hashlib.sha256()
    for row in rows:
        size = [one.stat().st_size if one is not None and one.is_file() else 0 for one in (row.image, row.mask)]
        found.update(json.dumps([row.image.name, row.target, row.prompts, row.group, *size]).encode())
    return found.hexdigest()


class RunFolder:
    """Reads and writes the folder."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path = path
        private_folder(path)
        known = path / "run.json"
        if known.is_file():
            before = json.loads(known.read_text("utf-8"))
            before["recipe"] = Recipe.from_dict(before.get("recipe", {})).to_dict()  # what is new since has its default
            before = {"encoder": "", "processes": 1, **before}  # these are new, too
            before, now = json.loads(json.dumps(before)), json.loads(json.dumps(plan.to_dict()))
            other = [name for name, value in now.items() if before.get(name) != value]
            if other:
                raise BoltzFormerError(
                    f"{path} holds a run with another {' and '.join(other)}: choose a new --output, "
                    "or give the same recipe, data and start to go on."
                )
        else:
            write_text(known, json.dumps(plan.to_dict(), indent=1))

    def resume(self, trainer: Trainer, *, leads: bool = True) -> None:
        """Goes to the newest state that is whole, if there is one. One process `leads`: it writes."""
        for folder in states(self.path):
            try:
                trainer.restore(int(folder.name.removeprefix(STATE)), _state_in(folder))
            except UNREADABLE:
                continue  # damaged since; the one before serves
            break
        log = self.path / "log.jsonl"
        if leads and log.is_file():  # what came after the state is done again
            kept = [line for line in log.read_text("utf-8").splitlines() if _step_of(line) <= trainer.step]
            write_text(log, "".join(f"{line}\n" for line in kept))

    def save(self, trainer: Trainer) -> None:
        """A state, whole or not at all; all but the last two go."""
        final = self.path / f"{STATE}{trainer.step:08d}"
        if final.is_dir():
            return
        part = self.path / f".{final.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        for name, tensors in trainer.state().items():
            for number, some in enumerate(_portions(tensors)):
                file = part / f"{name}-{number}.safetensors"
                save_file({key: tensor.cpu().contiguous() for key, tensor in some.items()}, file)
                flush(file)
        write_text(part / SUMS, json.dumps({file.name: _sha256(file) for file in sorted(part.glob("*.safetensors"))}))
        os.replace(part, final)
        for old in sorted(self.path.glob(f"{STATE}*"))[:-2]:
            shutil.rmtree(old)

    def log(self, progress: Progress, seconds: float) -> None:
        """A line per step."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            losses = {name: float(f"{value:.6g}") for name, value in progress.losses.items()}
            file.write(json.dumps({"step": progress.step, **losses, "seconds": round(seconds, 3)}) + "\n")

    def export(self, trainer: Trainer, history: History) -> Path:
        """The mean of the weights, in half precision, as a model to use."""
        with trainer.averaged() as model:
            return checkpoint.save(self.path / MODEL, model, history, half=True).path


def go_on(run: RunFolder, trainer: Trainer, corpus: Corpus, *, rank: int = 0) -> Iterator[Progress]:
    """Trains from where the trainer is, saving as it goes, to the end. Of several processes the first writes."""
    last = time.monotonic()
    for progress in fit(trainer, corpus, rank=rank):
        now = time.monotonic()
        if rank == 0:
            run.log(progress, now - last)
            if progress.step % trainer.recipe.save_every == 0:
                run.save(trainer)
        last = now
        yield progress


def states(run: Path) -> list[Path]:
    """Folders of the saved states of a run, the newest first."""
    return sorted(run.glob(f"{STATE}*"), reverse=True)


def hash_of_run(run: Path) -> str:
    """Of the newest state, by the sums of its files."""
    found = states(run)
    if not found or not (found[0] / SUMS).is_file() or not (run / MODEL).is_file():
        raise BoltzFormerError(f"{run} is no folder of a training that was saved: give one, or the file of a model.")
    return _sha256(found[0] / SUMS)


def take_over(trainer: Trainer, run: Path) -> None:
    """From the newest state of another run with the same model: its weights, what only training has, and its moments.

    What it has learnt about the gradients stays, so nothing needs to warm up; steps are counted anew.
    """
    folder = states(run)[0]
    try:
        trainer.take_over(int(folder.name.removeprefix(STATE)), _state_in(folder))
    except UNREADABLE as error:
        raise CheckpointError(f"{folder} can't be gone on from ({error}): give the run of the same model.") from error


def _state_in(folder: Path) -> dict[str, dict[str, Tensor]]:
    _verify(folder)
    state: dict[str, dict[str, Tensor]] = {}
    for file in folder.glob("*.safetensors"):
        state.setdefault(file.stem.rpartition("-")[0], {}).update(load_file(file))
    return state


def _verify(folder: Path) -> None:
    """Raises where a file of a state is not as it was written; states of older versions carry no sums."""
    sums = folder / SUMS
    if sums.is_file() and any(
        _sha256(folder / name) != known for name, known in json.loads(sums.read_text("utf-8")).items()
    ):
        raise ValueError(f"{folder} was damaged")


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _portions(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """In files that may be carried one by one."""
    some: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if some and sum(one.nbytes for one in some.values()) + tensor.nbytes > FILE_BYTES:
            yield some
            some = {}
        some[name] = tensor
    yield some


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62  # cut off by a crash


def mean(models: Sequence[Path], output: Path) -> Checkpoint:
    """Every weight the mean of theirs; history and card are the last one's, with the hashes of all."""
    if len(models) < 2:
        raise CheckpointError("A mean needs at least two models: give their files.")
    made, about = registry.load(models[-1])
    state = {name: tensor.double() for name, tensor in made.state_dict().items()}
    for path in models[:-1]:
        other, told = registry.load(path)
        if (told.config, told.tokenizer) != (about.config, about.tokenizer):
            raise CheckpointError(f"{path} is built otherwise than {models[-1]}: give trainings of one model.")
        for name, tensor in other.state_dict().items():
            state[name] += tensor.double()
    made.load_state_dict({name: total / len(models) for name, total in state.items()})
    notes = {**about.history.notes, "mean of": [sha256_of(path) for path in models]}
    return checkpoint.save(output, made, replace(about.history, notes=notes), half=checkpoint.is_half(models[-1]))


def mean_command(
    models: Annotated[list[Path], typer.Argument(help="Files of trainings that began with one model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file.")],
) -> None:
    """Make one model whose weights are the mean of several."""
    made = mean(models, output)
    say(f"{output} ({made.path.stat().st_size / 1e6:.1f} MB, sha256 {sha256_of(output)[:12]})")
