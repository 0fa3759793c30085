"""The folder of a training: its recipe, its saved states, its log and the model that it has made so far.

A state is a folder of safetensors files that gets its name only when all of it is on the disk, so a run that is killed
goes on from the last one. Two are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from boltzformer import checkpoint
from boltzformer.atomic import flush, private_folder, write_text
from boltzformer.checkpoint import History
from boltzformer.corpus import Corpus
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.manifest import Row
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig, default
from boltzformer.model.text import TableTokenizer
from boltzformer.recipe import Recipe
from boltzformer.train import Trainer, fit
from boltzformer.types import Progress
from boltzformer.words import token_table

STATE = "state-"
SUMS = "sha256.json"
"""In each state: what its files must hash to."""
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"recipe": self.recipe.to_dict(), "data": self.data, "threads": self.threads, "init": self.init}


def configured(recipe: Recipe) -> ModelConfig:
    """The model that a recipe trains."""
    data = default().to_dict()
    for name, value in recipe.config.items():
        data[name] = {**data[name], **value} if isinstance(value, Mapping) else value
    return ModelConfig.from_dict(json.loads(json.dumps(data)))


def begin(recipe: Recipe, rows: tuple[Row, ...], corpus: Corpus, init: Path | None, device: torch.device) -> Trainer:
    """A fresh trainer: random weights from the recipe's seed, or those of a checkpoint with the same configuration."""
    if init is None:
        texts = {text for row in rows for text in row.prompts}
        config = configured(recipe)
        torch.manual_seed(recipe.seed)
        model = BoltzFormer(config, TableTokenizer(token_table(texts, config.text.vocabulary)))
    else:
        model, about = checkpoint.load(init)
        if about.config != configured(recipe):
            raise CheckpointError(f"{init} has another configuration than the recipe: train without --init.")
        torch.manual_seed(recipe.seed)
    return Trainer(model.to(device), recipe, corpus.targets)


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
            before, now = json.loads(json.dumps(before)), json.loads(json.dumps(plan.to_dict()))
            other = [name for name, value in now.items() if before.get(name) != value]
            if other:
                raise BoltzFormerError(
                    f"{path} holds a run with another {' and '.join(other)}: choose a new --output, "
                    "or give the same recipe, data and start to go on."
                )
        else:
            write_text(known, json.dumps(plan.to_dict(), indent=1))

    def resume(self, trainer: Trainer) -> None:
        """Goes to the newest state that is whole, if there is one."""
        for folder in sorted(self.path.glob(f"{STATE}*"), reverse=True):
            try:
                _verify(folder)
                state: dict[str, dict[str, Tensor]] = {}
                for file in folder.glob("*.safetensors"):
                    state.setdefault(file.stem.rpartition("-")[0], {}).update(load_file(file))
                trainer.restore(int(folder.name.removeprefix(STATE)), state)
            except (SafetensorError, OSError, KeyError, RuntimeError, ValueError):
                continue  # damaged since; the one before serves
            break
        log = self.path / "log.jsonl"
        if log.is_file():  # what came after the state is done again
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
            return checkpoint.save(self.path / "model.safetensors", model, history, half=True).path


def go_on(run: RunFolder, trainer: Trainer, corpus: Corpus, minutes: float | None) -> Iterator[Progress]:
    """Trains from where the folder is, saving as it goes, to the recipe's end or for so many minutes."""
    run.resume(trainer)
    began = last = time.monotonic()
    for progress in fit(trainer, corpus):
        now = time.monotonic()
        run.log(progress, now - last)
        last = now
        if progress.step % trainer.recipe.save_every == 0:
            run.save(trainer)
        yield progress
        if minutes is not None and now - began > 60 * minutes:
            break


def _verify(folder: Path) -> None:
    """Raises where a file of a state is not as it was written; states of older versions carry no sums."""
    sums = folder / SUMS
    if sums.is_file() and any(_sha256(folder / name) != known for name, known in json.loads(sums.read_text()).items()):
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
