"""The zoo's experts: for every target a U-Net of its own, which needs no prompt and knows nothing else.

`unet` is MONAI's (two residual units), `nnunet` the plain one of nnU-Net: two convolutions per level, instance norm,
leaky ReLU, losses at the three finest levels. Each sees the pictures of its target alone, for as many steps and with
the optimizer, augmentation and sizes of the recipe that it is given, so that it differs from the zoo's decoders in
nothing else; nnU-Net's own schedule is longer by a factor of hundreds. Whether the target is there at all nobody
teaches it. A target that is done is not done again.

Run: python benchmarks/experts.py MANIFEST SPLIT FOLDER --kind nnunet --recipe FILE [--targets …]; `zoo.py --experts`
does so for its table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.unet import UNet
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from boltzformer.engine.devices import choose, fast_half, use_cores
from boltzformer.evaluate.evaluate import Answers, Asked, Given, Scored, evaluate
from boltzformer.evaluate.summary import SMALL, summary
from boltzformer.image.slicing import SlicePlan, to_int8
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.learn.train import Batch, batch_of, rate_at
from boltzformer.learn.training_run import configured
from boltzformer.model.losses import cross_entropy, dice, resize_logits
from boltzformer.types import Volume

CHANNELS = (16, 32, 64, 128, 192)
"""Of the levels, from stride 1 to 16: 1.2 and 1.6 M parameters per target."""
FINER = 2
"""How many levels below the finest have a loss of their own, each half as heavy as the one above."""


def net_of(kind: str) -> nn.Module:
    """One logit per pixel; in training `nnunet` answers at its coarser levels as well."""
    count = len(CHANNELS)
    if kind == "unet":
        made: nn.Module = UNet(2, 3, 1, channels=CHANNELS, strides=(2,) * (count - 1), num_res_units=2)
        return made
    strides = [1] + [2] * (count - 1)
    made = DynUNet(
        2, 3, 1, [3] * count, strides, strides[1:], list(CHANNELS), deep_supervision=True, deep_supr_num=FINER
    )
    return made


def seen(images: Tensor) -> Tensor:
    """From 0…255, each picture with mean 0 and deviation 1, as nnU-Net has it."""
    mean, spread = images.mean((1, 2, 3), keepdim=True), images.std((1, 2, 3), keepdim=True)
    return (images - mean) / spread.clamp(min=1e-3)


class Expert:
    """A net for one target, and the mean of its weights."""

    def __init__(self, kind: str, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device, self.step = recipe, device, 0
        self.net = net_of(kind).to(device)
        own = recipe.optimizer
        self.optimizer = torch.optim.AdamW(self.net.parameters(), own.rate, weight_decay=own.weight_decay)
        self.mean = [parameter.detach().clone() for parameter in self.net.parameters()]

    def learn(self, batch: Batch) -> float:
        """One step, on the first prompt's mask of each picture: that of the target."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.recipe, self.step)
        self.net.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_half(self.device)):
            answer = self.net(seen(batch.images.to(self.device)))
        levels = answer.unbind(1) if answer.ndim == 5 else (answer,)  # all are enlarged to the finest by the net
        masks = batch.masks[:, :1].to(self.device)
        loss = torch.stack([0.5**n * _overlap(level.float(), masks) for n, level in enumerate(levels)]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.step += 1
        decay = min(self.recipe.optimizer.average, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.mean, [parameter.detach() for parameter in self.net.parameters()], 1 - decay)
        return float(loss.detach())

    @torch.no_grad()
    def finish(self) -> None:
        """From now on it answers, with the mean of its weights."""
        for parameter, value in zip(self.net.parameters(), self.mean, strict=True):
            parameter.copy_(value)
        self.net.eval()

    def answers(self, side: int) -> Answers:
        """Masks at 0.5; existence is the surest pixel's."""

        @torch.inference_mode()
        def answer(volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]:
            plan, window = SlicePlan.of(volume.grid, side, volume.slice_axis, channels="rgb"), volume.window()
            logits: dict[int, Tensor] = {}
            for one in plan.indices if index is None else [index]:
                image = torch.from_numpy(plan.network_slice(volume.array, window, one))[None].to(self.device)
                logits[one] = self.net(seen(image))[0, 0].float().cpu()
            mask = plan.masks((number, to_int8(some.numpy())) for number, some in logits.items()) > 0
            return [Given(mask, max(float(some.max().sigmoid()) for some in logits.values())) for _ in asked]

        return answer


def _overlap(logits: Tensor, masks: Tensor) -> Tensor:
    logits = resize_logits(logits, masks.shape[-2], masks.shape[-1])
    return (dice(logits, masks) + cross_entropy(logits, masks)).mean()


def cost(kind: str, side: int) -> dict[str, Any]:
    """Of one expert and one picture: parameters, operations, seconds."""
    net, image = net_of(kind).eval(), torch.rand(1, 3, side, side)
    counter, spent = FlopCounterMode(display=False), []
    with torch.no_grad():
        with counter:
            net(image)
        for _ in range(5):
            began = time.perf_counter()
            net(image)
            spent.append(time.perf_counter() - began)
    whole = {"flops": counter.get_total_flops(), "seconds_per_slice": round(float(np.median(spent)), 4)}
    return {"each_parameters": sum(one.numel() for one in net.parameters()), **whole}


def taught(kind: str, recipe: Recipe, rows: Sequence[Row], device: torch.device) -> Expert:
    """From the recipe's first step to its last."""
    corpus, expert = Corpus(rows, device, small=recipe.small), Expert(kind, recipe, device)
    while expert.step < recipe.steps:
        expert.learn(batch_of(corpus, recipe, expert.step))
    expert.finish()
    return expert


def told_of(one: Scored) -> dict[str, Any]:
    """A line, as `boltzformer evaluate` writes it."""
    return {"row": one.row.number, "target": one.target, "dice": one.dice, "area": one.area}


def done_of(results: Path, target: str) -> Path:
    """Where the answers for a target lie, once it is done."""
    return results / f"{re.sub('[^A-Za-z0-9]+', '-', target)}.jsonl"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def macro(lines: Sequence[dict[str, Any]], least: int, small: bool | None = None) -> float | None:
    """The mean over targets with enough masks of the mean over their cases, as `summary` has it."""
    targets: dict[str, list[float]] = {}
    for line in lines:
        if line["dice"] is not None and (small is None or (line["area"] < SMALL) == small):
            targets.setdefault(line["target"], []).append(line["dice"])
    means = [float(np.mean(some)) for some in targets.values() if len(some) >= least]
    return float(np.mean(means)) if means else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Target by target; the row for the zoo's table at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for place, what in (("manifest", "of images and masks"), ("split", "what is held back"), ("folder", "of the run")):
        parser.add_argument(place, type=Path, help=what)
    parser.add_argument("--kind", choices=("unet", "nnunet"), required=True)
    parser.add_argument("--recipe", default="zoo/boltzmann", help="steps, sizes, optimizer, augmentation")
    parser.add_argument("--targets", nargs="+", help="only these; else all that can be learnt and are held back")
    parser.add_argument("--min-masks", type=int, default=5, help="targets with fewer don't count in the means")
    told = parser.parse_args(arguments)
    use_cores()
    recipe, device = read_recipe(told.recipe), choose("auto").device
    side, results = configured(recipe).image_size, told.folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    everything, held = read_manifest(told.manifest), read_split(told.split)
    licensed = [row for row in everything if row.licensed and row.mask is not None]
    train, validation = part_of(licensed, held, "train"), part_of(licensed, held, "validation")
    both = {row.target for row in train} & {row.target for row in validation}
    wanted, listed = sorted(both & set(told.targets or both)), Listed.of(everything)
    for target in wanted:
        done = done_of(results, target)
        if done.is_file():
            continue
        began = time.monotonic()
        expert = taught(told.kind, recipe, [row for row in train if row.target == target], device)
        minutes = (time.monotonic() - began) / 60
        mine = [row for row in validation if row.target == target]
        scored = [one for one in evaluate(expert.answers(side), mine, listed) if one.usual]
        lines = [{**told_of(one), "minutes": minutes} for one in scored]
        part = done.with_suffix(".part")
        part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.replace(part, done)
        sys.stderr.write(f"{target}: Dice {summary(scored, None, min_masks=1)['macro']['dice']} ({minutes:.1f} min)\n")
    every = [_lines(done_of(results, target)) for target in wanted]
    flat = [line for lines in every for line in lines]
    (results / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in flat), encoding="utf-8")
    spent = cost(told.kind, side)
    row = {
        "steps": recipe.steps,
        "targets": len(wanted),
        "minutes": round(sum(lines[0]["minutes"] for lines in every if lines), 2),
        "parameters": spent["each_parameters"] * len(wanted),
        "dice": macro(flat, told.min_masks),
        "dice_small": macro(flat, told.min_masks, small=True),
        "dice_large": macro(flat, told.min_masks, small=False),
        **spent,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
    }
    (told.folder / "row.json").write_text(json.dumps(row), encoding="utf-8")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
