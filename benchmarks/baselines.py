"""What the shipped model must beat: nothing at all, one constant box per target, and MONAI's U-Net of its size.

All are scored by `boltzformer evaluate`'s own code on the same rows. The U-Net is one network with an output per
target, trained on the same samples with the same augmentation and schedule; it stops after --minutes and goes on when
called again. With `--encoder WEIGHTS.pth` its way down is the shipped model's own EfficientNet-Lite with ImageNet's
weights, its way up MONAI's: so much of a result is the encoder's. `--volumes` adds slices of volumes, as `boltzformer
train` does. `python benchmarks/baselines.py MANIFEST --split SPLIT --output DIR` prints a Markdown table's rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets.flexible_unet import UNetDecoder
from monai.networks.nets.unet import UNet
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from boltzformer import io
from boltzformer.engine.devices import choose, fast_half
from boltzformer.evaluate.evaluate import Answers, Asked, Given, draw_absent, evaluate
from boltzformer.evaluate.summary import summary
from boltzformer.image.resampling import resize
from boltzformer.image.slicing import SlicePlan, to_int8
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.learn.train import Batch, batch_of, rate_at
from boltzformer.learn.volume_pictures import pictures_of_volumes
from boltzformer.model.encoder_config import LiteConfig
from boltzformer.model.lite import LiteEncoder, fill_published
from boltzformer.model.losses import cross_entropy, dice
from boltzformer.types import Volume
from boltzformer.weights.convert.archive import old_weights

CELLS = 32
"""The best box is looked for on a grid of so many cells per side."""
CHANNELS, FEATURES = (48, 96, 192, 304, 360), 24
"""Of the U-Net's levels and its output, before one 1×1 convolution per target (53 full-size maps would take half of
each step): 7.0 M parameters with two residual units each, as many as the shipped model has."""
UPWARDS = (320, 224, 128, 64)
"""Channels on the way up from Lite0's coarsest map: 6.9 M parameters together; the shipped model has 7.1 M."""
SAVE_EVERY = 100
"""Steps between two saved states."""


def background(volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]:
    """Finds nothing, ever."""
    return [Given(np.zeros(volume.grid.shape, bool), 0.0) for _ in asked]


def constant_boxes(rows: Sequence[Row]) -> dict[str, tuple[float, float, float, float]]:
    """Target → top, bottom, left, right as shares of the image: the box with the best mean Dice on these rows."""
    seen: dict[str, list[np.ndarray]] = defaultdict(list)
    for row in rows:
        if row.mask is not None:
            mask = io.read_labels(row.mask).layers.max(axis=0)[0] > 0
            seen[row.target].append(resize(mask.astype(np.float32), (CELLS, CELLS), "antialiased").clip(0, 1))
    return {target: _best_box(np.stack(masks)) for target, masks in seen.items()}


def _best_box(masks: np.ndarray) -> tuple[float, float, float, float]:
    sums = np.pad(masks.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))  # (n, CELLS + 1, CELLS + 1)
    whole = sums[:, -1, -1]
    first, last = np.triu_indices(CELLS + 1, 1)
    lengths = last - first
    best, found = -1.0, (0, CELLS, 0, CELLS)
    for top, bottom in zip(first, last, strict=True):
        rows = sums[:, bottom] - sums[:, top]
        inside = rows[:, last] - rows[:, first]  # (n, boxes)
        score = (2 * inside / (whole[:, None] + (bottom - top) * lengths)).mean(0)
        k = int(score.argmax())
        if score[k] > best:
            best, found = float(score[k]), (top, bottom, first[k], last[k])
    top, bottom, left, right = (int(edge) / CELLS for edge in found)
    return top, bottom, left, right


def boxed(boxes: Mapping[str, tuple[float, float, float, float]]) -> Answers:
    """Draws its target's box everywhere; surely there, whatever the image."""

    def answer(volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]:
        given = []
        for one in asked:
            mask = np.zeros(volume.grid.shape, bool)
            rows, columns = mask.shape[1:]
            top, bottom, left, right = boxes.get(one.target, (0.0, 0.0, 0.0, 0.0))
            mask[:, round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)] = True
            given.append(Given(mask, 1.0))
        return given

    return answer


class PlainNet(nn.Module):
    """MONAI's U-Net; what is learnt from is half as large as the image."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.net = UNet(2, 3, FEATURES, channels=CHANNELS, strides=(2,) * (len(CHANNELS) - 1), num_res_units=2)
        self.head = nn.Conv2d(FEATURES, targets, 1)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(_normalised(images))
        out: Tensor = self.head(nn.functional.avg_pool2d(features, 2) if self.training else features)
        return out


class LiteNet(nn.Module):
    """Down as the shipped model's encoder does, up as MONAI does; the outputs are half as large as the image."""

    def __init__(self, targets: int, weights: Path) -> None:
        super().__init__()
        self.backbone = LiteEncoder(LiteConfig())
        fill_published(self.backbone, old_weights(weights), str(weights))
        ways = {"act": "relu", "norm": ("instance", {"affine": True}), "dropout": 0.0, "bias": False}
        ups = {"upsample": "nontrainable", "pre_conv": None, "interp_mode": "nearest", "align_corners": None}
        self.up = UNetDecoder(2, (3, *LiteConfig().channels), UPWARDS, **ways, **ups, is_pad=False)
        self.head = nn.Conv2d(UPWARDS[-1], targets, 1)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.up([images, *self.backbone((images - 127.0) / 128.0)], skip_connect=3))
        return out


class Baseline:
    """The U-Net, its optimizer, the mean of its weights, and how far it is; with `encoder`, published weights."""

    def __init__(
        self, recipe: Recipe, targets: Sequence[str], device: torch.device, encoder: Path | None = None
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.targets, self.step, self.device = recipe, {t: n for n, t in enumerate(targets)}, 0, device
        net: nn.Module = PlainNet(len(targets)) if encoder is None else LiteNet(len(targets), encoder)
        self.net = net.to(device)
        own = recipe.optimizer
        self.mean = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(own.average))
        parts = [(name.startswith("backbone."), parameter) for name, parameter in self.net.named_parameters()]
        groups = [
            {"params": [one for known, one in parts if known == told], "share": own.encoder if told else 1.0}
            for told in (False, True)
        ]
        self.optimizer = torch.optim.AdamW(
            [one for one in groups if one["params"]], own.rate, weight_decay=own.weight_decay
        )

    def learn(self, batch: Batch) -> float:
        """One step on the outputs that the batch asks about."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.recipe, self.step) * group["share"]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_half(self.device)):
            images = batch.images.to(self.device).contiguous(memory_format=torch.channels_last)
            every = self.net(images).float()  # (B, T, S / 2, S / 2)
        rows = torch.tensor([[self.targets[name] for name in names] for names in batch.names], device=self.device)
        named = every.gather(1, rows[:, :, None, None].expand(-1, -1, *every.shape[-2:]))  # (B, P, S / 2, S / 2)
        masks = batch.masks.to(self.device)
        present = masks.amax((-2, -1)).gt(0).float()
        loss = ((present * dice(named, masks) + cross_entropy(named, masks)) / present.numel()).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.mean.update_parameters(self.net)
        self.step += 1
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Whole or not at all."""
        parts = {"net": self.net, "mean": self.mean, "optimizer": self.optimizer}
        part = path.with_suffix(".part")
        torch.save({"step": self.step, **{name: one.state_dict() for name, one in parts.items()}}, part)
        os.replace(part, path)

    def resume(self, path: Path) -> None:
        """Goes on from a saved state, if there is one."""
        if path.is_file():
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.step = state["step"]
            for name, one in (("net", self.net), ("mean", self.mean), ("optimizer", self.optimizer)):
                one.load_state_dict(state[name])

    def answers(self) -> Answers:
        """Masks at 0.5; existence is the surest pixel's."""
        self.mean.eval()
        side = self.recipe.final.side

        @torch.inference_mode()
        def answer(volume: Volume, asked: Sequence[Asked], index: int | None = None) -> Sequence[Given]:
            plan, window = SlicePlan.of(volume.grid, side, volume.slice_axis, channels="rgb"), volume.window()
            found: dict[int, Tensor] = {}
            for one in plan.indices if index is None else [index]:
                image = torch.from_numpy(plan.network_slice(volume.array, window, one))[None].to(self.device)
                found[one] = self.mean(image)[0].float().cpu()  # (T, side, side) or half
            given = []
            for one in asked:
                if one.target not in self.targets:
                    given.append(Given(np.zeros(volume.grid.shape, bool), 0.0))
                    continue
                logits = {number: every[self.targets[one.target]] for number, every in found.items()}
                mask = plan.masks((number, to_int8(some.numpy())) for number, some in logits.items()) > 0
                given.append(Given(mask, max(float(some.max().sigmoid()) for some in logits.values())))
            return given

        return answer


def _normalised(images: Tensor) -> Tensor:
    return (images - 127.5) / 127.5


def trained(rows: Sequence[Row], recipe: Recipe, given: argparse.Namespace) -> Baseline:
    """Goes on from where the output is, for so many minutes or to the recipe's end."""
    device, minutes = choose(given.device).device, given.minutes
    slices = () if given.volumes is None else pictures_of_volumes(given.volumes)
    corpus = Corpus(rows, device, small=recipe.small, volumes=slices)
    baseline, state = Baseline(recipe, corpus.targets, device, given.encoder), given.output / "unet.pt"
    baseline.resume(state)
    size = sum(parameter.numel() for parameter in baseline.net.parameters())
    _say(f"U-Net with {size / 1e6:.2f} M parameters, step {baseline.step} of {recipe.steps}")
    began = time.monotonic()
    while baseline.step < recipe.steps and time.monotonic() - began < 60 * minutes:
        loss = baseline.learn(batch_of(corpus, recipe, baseline.step))
        if baseline.step % SAVE_EVERY == 0:
            baseline.save(state)
            _say(f"step {baseline.step}, loss {loss:.3f}")
    baseline.save(state)
    return baseline


def scored(name: str, answers: Answers, rows: Sequence[Row], everything: Sequence[Row], least: int) -> dict[str, Any]:
    """The numbers of `boltzformer evaluate`, for the targets that a model could be taught from these data."""
    could = [row for row in everything if row.licensed]
    card = Card.made(could, could, split="", run={})
    listed = Listed.of(everything, card.candidates())
    drawn = draw_absent(rows, listed, card.candidates(), 0)
    _say(f"{name}: {len(rows)} rows, {len(drawn)} absent prompts")
    return summary(list(evaluate(answers, rows, listed, drawn)), card.taught, min_masks=least)


def table_row(name: str, facts: Mapping[str, Any]) -> str:
    """One line of a Markdown table."""
    macro, existence = facts["macro"], facts["existence"]
    told = [_with_interval(macro, "dice"), _with_interval(macro, "dice_small"), _number(macro["nsd"])]
    told += [_with_interval(existence, "auroc_easy"), _with_interval(existence, "auroc_hard")]
    return f"| {name} | {' | '.join(told)} |"


def _with_interval(facts: Mapping[str, Any], name: str) -> str:
    between = facts[f"{name}_interval"]
    return _number(facts[name]) + (f" ({between[0]:.2f} to {between[1]:.2f})" if between else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--which", nargs="+", default=["background", "box"], choices=["background", "box", "unet"])
    parser.add_argument("--recipe", default="default", help="of the U-Net: the shipped model's, for the same budget")
    parser.add_argument("--encoder", type=Path, help="ImageNet weights (.pth) of EfficientNet-Lite0, for the U-Net")
    parser.add_argument("--volumes", type=Path, help="a folder of volumes that may train, as `boltzformer train` reads")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training, this time")
    parser.add_argument("--min-masks", type=int, default=3)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    everything, held = read_manifest(given.manifest), read_split(given.split)
    licensed = [row for row in everything if row.licensed]
    train, validation = part_of(licensed, held, "train"), part_of(licensed, held, "validation")
    for which in given.which:
        name, answers = which, background
        if which == "box":
            answers = boxed(constant_boxes([row for row in train if not row.centred]))
        elif which == "unet":
            recipe = read_recipe(given.recipe)
            net = trained(train, recipe, given)
            name, answers = f"MONAI U-Net, step {net.step} of {recipe.steps}", net.answers()
        facts = scored(name, answers, validation, everything, given.min_masks)
        (given.output / f"{which}.json").write_text(json.dumps(facts, indent=1))
        print(table_row(name, facts), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
