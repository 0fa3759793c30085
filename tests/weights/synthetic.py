"""Checkpoints as training programs leave them: weights under wrappers, among optimizer states and live objects."""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

Schedule = namedtuple("Schedule", "rate steps")


class Phase(enum.Enum):
    TRAIN = 1


class Settings:
    """A configuration object, whose class a reader of the file need not have."""

    def __init__(self) -> None:
        self.rate, self.phase, self.inner = 1e-5, Phase.TRAIN, {"schedule": Schedule(1e-5, (1, 2))}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "extra": [defaultdict(list, a=[1]), {1, 2}, frozenset({3}), np.arange(3)]}

    def __setstate__(self, state: object) -> None:
        raise AssertionError("something from the file was run")


def random_state(shapes: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Numbers for every name, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def lightning(state: Mapping[str, Tensor], path: Path) -> Path:
    """As Lightning saves a model: the loss beside it, both moments of every parameter, settings as objects."""
    named = OrderedDict((f"model.{name}", tensor) for name, tensor in state.items())
    named["loss.pos_weight"] = torch.ones(1)
    named["train_metrics.dice.total"] = torch.zeros(())
    moments = {
        number: {"step": torch.tensor(7.0), **{m: torch.zeros(()).expand(t.shape) for m in ("exp_avg", "exp_avg_sq")}}
        for number, t in enumerate(state.values())
    }
    groups = [{"lr": 1e-5, "betas": (0.9, 0.999), "params": list(range(len(state)))}]
    torch.save(
        {
            "epoch": 9,
            "global_step": 12345,
            "pytorch-lightning_version": "2.6.1",
            "state_dict": named,
            "loops": {"fit_loop": {"state_dict": {}, "progress": Schedule(1, 2)}},
            "callbacks": {("ModelCheckpoint", "val"): {"best": torch.tensor(0.5), "dir": PurePosixPath("/runs/1")}},
            "optimizer_states": [{"state": moments, "param_groups": groups}],
            "lr_schedulers": [],
            "hparams_name": "cfg",
            "hyper_parameters": Settings(),
        },
        path,
    )
    return path


class Bomb:
    """Runs when unpickled the usual way."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)
