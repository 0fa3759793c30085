"""For torchrun: the same steps by a student that has all of a model and by one that shares it; how far they differ."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from boltzformer.learn.finetune.options import prepare
from boltzformer.learn.finetune.sampling import Pool, Taught, batch_of, mini
from boltzformer.learn.finetune.sharding import Sharded
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.finetune.together import Together
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import EncoderConfig, FocalConfig, HieraConfig, tiny

NUMBERS = ("images", "masks", "claims", "drawn", "positive")
ENCODERS: dict[str, EncoderConfig] = {
    "focal": FocalConfig(width=8, depths=(1, 2, 1, 1), focal_levels=(2, 2, 2, 2)),
    "hiera": HieraConfig(width=8, stages=(1, 2, 3, 1), global_blocks=(4,), neck=32),
}


def model_of(encoder: EncoderConfig) -> BoltzFormer:
    """In double precision: what differs is no rounding that a draw made large."""
    torch.manual_seed(0)
    model = BoltzFormer(replace(tiny(), encoder=encoder, channels="rgb")).double()
    prepare(model, "full")
    return model


def taught(student: Student, pool: Pool, recipe: Recipe, team: Together, steps: int) -> list[dict[str, float]]:
    """The losses of each step."""
    told = []
    for _ in range(steps):
        seen: Taught = batch_of(pool, recipe, student.step, share=(team.rank, team.world))
        told.append(student.learn(replace(seen, **{name: getattr(seen, name).double() for name in NUMBERS})))
    return told


def apart(one: Any, other: Any) -> float:
    """The largest difference between losses or states."""
    if isinstance(one, torch.Tensor):
        return float((one - other).detach().abs().max())
    if isinstance(one, float):
        return abs(one - other)
    pairs = zip(one, other, strict=True) if isinstance(one, list) else ((one[name], other[name]) for name in one)
    assert isinstance(one, list) or set(one) == set(other)
    return max(apart(*pair) for pair in pairs)


def compared(encoder: EncoderConfig, team: Together) -> dict[str, Any]:
    made = read_recipe("finetune")
    recipe = replace(made, steps=8, batch=4, side=32, precision="float32", round=2)
    recipe = replace(recipe, final=replace(made.final, side=32, batch=4))
    pool = Pool(mini()[:6], (), ())
    whole = Student(model_of(encoder), recipe, world=team.world, micro=1)
    parts = Sharded(model_of(encoder), recipe, world=team.world, leads=team.leads, micro=1)
    losses = apart(*(taught(one, pool, recipe, team, 3) for one in (whole, parts)))
    parts.gather()
    numbers = sum(one.numel() for one in whole.weights.values())
    mine = sum(one.to_local().numel() for one in parts.weights.values() if isinstance(one, DTensor))
    again = Sharded(model_of(encoder), recipe, world=team.world, leads=team.leads, micro=1)
    state = team.same(parts.alone().state() if team.leads else {})
    again.restore(parts.step, state)
    more = apart(*(taught(one, pool, recipe, team, 1) for one in (whole, again)))
    again.gather()
    told = {"losses": losses, "after going on": more, "share": mine / numbers}
    if team.leads:
        alone = again.alone()
        with alone.averaged() as model, whole.averaged() as other:
            told["model"] = apart(model.state_dict(), other.state_dict())
        told["state"] = apart(alone.state(), whole.state())
        told["start"] = apart(alone.start, whole.start)
    again.forget(recipe)
    again.gather()
    if team.leads:
        told["forgotten"] = apart(dict(again.alone().weights), whole.start)
    return told


if __name__ == "__main__":
    torch.set_num_threads(1)
    together = Together.of_environment()
    found = {name: compared(encoder, together) for name, encoder in ENCODERS.items()}
    if together.leads:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
    together.wait()
