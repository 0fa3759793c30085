"""Learning from a case, measured: a simulated person corrects the slices that the tool asks for, one after the other.

    python benchmarks/case.py FOLDER [--targets NAME:LABEL …] [--counts 1 2 3 5 8] [--steps N] [--baselines] [-o FILE]

FOLDER holds NAME.nii.gz, NAME__label.nii.gz and NAME.json, as shared/data/volumes does. The first slice is the one with
the largest area, the next ones are those that `most_telling` names. Scored are the slices that nobody corrected. Beside
it, from the same slices: the model alone (zero-shot), interpolation of the lessons (it ends where the last lesson with
the object lies, and half-way to an empty one), neighbours alone (no weights learnt), a pixel forest (scikit-image's
multiscale features, scikit-learn's random forest) and MONAI's U-Net from nothing, both in the time the learning took.
Without targets: hippocampi carry over, five cases one after the other (`--carry NAME…:LABEL`). `--until 0.9` ends each
target when its whole volume is so good, and goes on beyond the counts if it is not; beside it, how many slices painting
with interpolation takes: the object's ends, then the slice where the person sees it most wrong. `--worst`: so does who
corrects what was learnt, instead of the slices that `most_telling` names.
"""

from __future__ import annotations

import argparse
import ast
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import boltzformer
from boltzformer import Adapted, Adapter, Engine, Lesson, Prediction, SlicePlan, Volume, io
from boltzformer.masks.lessons import LEAST
from boltzformer.masks.neighbours import Neighbours, fitted
from boltzformer.masks.telling import in_doubt, most_telling

Mask = NDArray[np.bool_]


@dataclass
class Row:
    """One target after so many lessons."""

    name: str
    target: str
    lessons: int
    slices: list[int]
    dice: dict[str, float] = field(default_factory=dict[str, float])
    """Of the slices that nobody corrected, by method."""
    whole: float = 0.0
    """Of the whole volume, lessons as they were corrected."""
    painted: int = 0
    """Slices until painting with interpolation is as good as `--until` says."""
    steps: int = 0
    learning_s: float = 0.0
    learning_cpu_s: float = 0.0
    asking_cpu_s: float = 0.0
    left_out: tuple[float | None, float | None] = (None, None)
    fit: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Case:
    """A volume and the truth about one target."""

    name: str
    target: str
    prompt: str
    volume: Volume
    plan: SlicePlan
    truth: Mask
    """(slices, rows, columns), by stored number, each slice in the canonical view."""


def case_of(folder: Path, name: str, label: int, engine: Engine) -> Case:
    """One target of one volume."""
    volume, labels = io.read(folder / f"{name}.nii.gz"), io.read_labels(folder / f"{name}__label.nii.gz")
    told = json.loads((folder / f"{name}.json").read_text("utf-8"))["labels"]
    told = ast.literal_eval(told) if isinstance(told, str) else told
    one, plan = told[str(label)], engine.plan(volume)
    seen = plan.view.apply(labels.mask(label))
    truth = np.stack([seen[plan.canonical_index(index)] for index in plan.indices])
    return Case(name, one["target"], one["prompts"][0], volume, plan, truth)


def dice(found: Mask, truth: Mask) -> float:
    """Of everything together; two empty ones agree."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if not total else 2 * float((found & truth).sum()) / total


def masks_of(prediction: Prediction, case: Case) -> Mask:
    """Like `Case.truth`."""
    seen = case.plan.view.apply(prediction.labels().layers[0] > 0)
    return np.stack([seen[case.plan.canonical_index(index)] for index in case.plan.indices])


def asked(engine: Engine, case: Case) -> tuple[Prediction, float]:
    """The whole volume, and the CPU seconds it took."""
    began = time.process_time()
    *_, last = engine.segment(case.volume, case.prompt)
    assert isinstance(last, Prediction)
    return last, time.process_time() - began


def learnt(engine: Engine, case: Case, lessons: Sequence[Lesson], steps: int | None, start: Adapter | None) -> Adapted:
    """From these lessons."""
    *_, last = boltzformer.adapt(engine, case.volume, case.prompt, lessons, steps=steps, start=start)
    assert isinstance(last, Adapted)
    return last


def corrected(
    engine: Engine,
    case: Case,
    counts: Sequence[int],
    steps: int | None,
    start: Adapter | None,
    baselines: bool,
    at: Sequence[float] = (),
    until: float = 0.0,
    worst: bool = False,
) -> Iterator[tuple[Row, Adapter]]:
    """The person corrects as many slices as the largest count, a few each time before the tool learns again."""
    zero, _ = asked(engine, case)
    first = masks_of(zero, case)
    order = [int(case.truth.sum((1, 2)).argmax())]
    if at:
        shown = np.flatnonzero(case.truth.any((1, 2)))
        order, counts = [int(shown[int(share * (len(shown) - 1))]) for share in at], [len(at)]
    if until:
        counts = further(counts, int(case.truth.any((1, 2)).sum()))
    for count in counts:
        lessons = [Lesson(index, case.truth[index]) for index in order[:count]]
        began, cpu = time.monotonic(), time.process_time()
        done = learnt(engine, case, lessons, steps, start)
        took, took_cpu = time.monotonic() - began, time.process_time() - cpu
        adapter = start = done.adapter
        now, asking = asked(engine.adapted(adapter), case)
        rest = np.array([index not in order[:count] for index in case.plan.indices])
        row = Row(case.name, case.target, count, order[:count], steps=adapter.steps)
        row.left_out, row.fit = (adapter.before, adapter.after), asdict(adapter.fit)
        row.learning_s, row.learning_cpu_s, row.asking_cpu_s = took, took_cpu, asking
        found = masks_of(now, case)
        row.whole = dice(found, case.truth)
        near = Neighbours(lessons, case.plan, fitted(lessons, case.plan))
        methods = {"zero-shot": first, "interpolation": np.stack([near.mask(index) for index in case.plan.indices])}
        methods |= {"learnt": found, "kept": found if done.better else first}
        if baselines:
            alone = replace(adapter, deltas={}, fit=fitted(lessons, case.plan))
            bare = replace(adapter, fit=replace(adapter.fit, trust=0.0))
            methods["neighbours alone"] = masks_of(asked(engine.adapted(alone), case)[0], case)
            methods["learning alone"] = masks_of(asked(engine.adapted(bare), case)[0], case)
            methods["forest"] = forest(case, order[:count])
            methods["U-Net"] = unet(case, order[:count], took_cpu)
        row.dice = {method: dice(made[rest], case.truth[rest]) for method, made in methods.items()}
        yield row, adapter
        if until and row.whole >= until:
            return
        while len(order) < max(counts) and len(order) < next((one for one in counts if one > count), 0):
            have = [Lesson(index, case.truth[index]) for index in order]
            clear = {one for one in case.plan.indices if not 0 < case.truth[one].sum() < LEAST}  # others are refused
            if worst:
                wrong = {i: int((found[n] ^ case.truth[n]).sum()) for n, i in enumerate(case.plan.indices)}
                order.append(max(clear - set(order), key=lambda index: wrong[index]))
                continue
            doubts = {
                one.index: in_doubt(one.plane(0)) for one in now.slices if one.given is None and one.index in clear
            }
            order.append(most_telling(doubts, found.__getitem__, have, case.plan)[0])


def planes(case: Case) -> NDArray[np.float32]:
    """(slices, rows, columns), 0…1, as the model's window shows them."""
    seen, window = case.plan.view.apply(case.volume.array), case.volume.window()
    shown = [window.apply(seen[case.plan.canonical_index(index)]) for index in case.plan.indices]
    gray = [one if one.ndim == 2 else one.mean(-1) for one in shown]
    return np.stack(gray).astype(np.float32) / 255


def forest(case: Case, order: Sequence[int]) -> Mask:
    """A pixel classifier as ilastik's or Labkit's, from the same slices."""
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    images = planes(case)
    features = {index: multiscale_basic_features(images[index], sigma_max=8) for index in order}
    seen = np.concatenate([features[index].reshape(-1, features[index].shape[-1]) for index in order])
    true = np.concatenate([case.truth[index].ravel() for index in order])
    rng = np.random.default_rng(0)
    some = np.concatenate(
        [rng.permutation(np.flatnonzero(true == kind))[:count] for kind, count in ((True, 8000), (False, 16000))]
    )
    model = RandomForestClassifier(60, max_depth=16, class_weight="balanced", random_state=0, n_jobs=1)
    model.fit(seen[some], true[some])
    found = []
    for image in images:
        rows = multiscale_basic_features(image, sigma_max=8)
        found.append(model.predict(rows.reshape(-1, rows.shape[-1])).reshape(image.shape).astype(bool))
    return np.stack(found)


def unet(case: Case, order: Sequence[int], cpu_seconds: float) -> Mask:
    """MONAI's, from nothing, on whole slices of at most 256 pixels, for as many CPU seconds as the learning took."""
    from monai.losses import DiceCELoss
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    net = UNet(2, 1, 1, (16, 32, 64, 128), (2, 2, 2), num_res_units=1)
    optimizer, loss = torch.optim.AdamW(net.parameters(), 2e-3), DiceCELoss(sigmoid=True)
    images = torch.from_numpy(planes(case))[:, None]
    side = min(256, max(images.shape[-2:]))
    small = torch.nn.functional.interpolate(images, (side // 8 * 8,) * 2, mode="bilinear", antialias=True)
    truth = torch.from_numpy(case.truth[:, None].astype(np.float32))
    target = torch.nn.functional.interpolate(truth, small.shape[-2:], mode="bilinear", antialias=True).ge(0.5).float()
    began = time.process_time()
    while time.process_time() - began < cpu_seconds:
        some = torch.tensor([order[int(n)] for n in torch.randint(len(order), (4,))])
        optimizer.zero_grad()
        loss(net(small[some]), target[some]).backward()
        optimizer.step()
    net.eval()
    with torch.inference_mode():
        logits = torch.cat([net(one[None]) for one in small])
    return torch.nn.functional.interpolate(logits, case.truth.shape[1:], mode="bilinear")[:, 0].gt(0).numpy()


def memory(preset: str, side: int, folder: Path) -> dict[str, Any]:
    """Predicted and measured for a model of these shapes with random weights: its peak beside the loaded engine."""
    import resource

    from boltzformer.engine.devices import choose
    from boltzformer.model import config
    from boltzformer.model.boltzformer import BoltzFormer
    from boltzformer.weights import checkpoint

    model = BoltzFormer(getattr(config, preset)())
    about = checkpoint.save(folder / f"{preset}.safetensors", model, checkpoint.History(name=preset))
    engine = Engine(model.eval(), about, choose("cpu"))
    shape = (5, side, side)
    volume = Volume(np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8), boltzformer.Grid.pixels(shape))
    y, x = np.ogrid[:side, :side]
    disc = (y - side / 2) ** 2 + (x - side / 2) ** 2 < (side / 8) ** 2
    lessons = [Lesson(index, disc) for index in (1, 3)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    said, stamps = 0, list[float]()
    for event in boltzformer.adapt(engine, volume, "disc", lessons, steps=10):
        said = said or getattr(event, "memory", 0)
        stamps.append(time.process_time())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    steps = np.diff(stamps)[-8:-1]
    return {
        "preset": preset,
        "parameters": about.parameters,
        "predicted": said,
        "measured": after - before,
        "cpu_s_per_step": float(np.median(steps)),
    }


def painted(case: Case, goal: float) -> int:
    """Slices that a person paints until interpolation makes the whole volume so good: the object's ends and its largest
    slice, then each time the one that is most wrong, which here the person sees without looking for it."""
    shown = np.flatnonzero(case.truth.any((1, 2)))
    order = list(dict.fromkeys(int(one) for one in (case.truth.sum((1, 2)).argmax(), shown[0], shown[-1])))
    while True:
        near = Neighbours([Lesson(index, case.truth[index]) for index in order], case.plan)
        found = np.stack([case.truth[i] if i in order else near.mask(i) for i in case.plan.indices])
        if dice(found, case.truth) >= goal:
            return len(order)
        order.append(int((found ^ case.truth).sum((1, 2)).argmax()))


def further(counts: Sequence[int], most: int) -> list[int]:
    """These, and beyond them a quarter more each time."""
    made = list(counts)
    while made[-1] < most:
        made.append(min(max(made[-1] + 1, made[-1] * 5 // 4), most))
    return made


def main() -> None:
    """Prints a row per target and number of lessons as it comes."""
    asks = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asks.add_argument("folder", type=Path)
    asks.add_argument("--targets", nargs="*", default=[], help="NAME:LABEL")
    asks.add_argument("--carry", nargs="*", default=[], help="NAME:LABEL, one target in several volumes, in this order")
    asks.add_argument("--counts", nargs="*", type=int, default=[1, 2, 3, 5, 8])
    asks.add_argument("--at", nargs="*", type=float, default=[], help="lessons at these shares of the object instead")
    asks.add_argument(
        "--until", type=float, default=0.0, help="the whole volume's Dice: ends a target, or goes on to it"
    )
    asks.add_argument("--worst", action="store_true", help="the most wrong slice is the next, as the painter does")
    asks.add_argument("--steps", type=int, default=None)
    asks.add_argument("--model", default="default")
    asks.add_argument("--baselines", action="store_true")
    asks.add_argument("--memory", default="", help="a preset of model.config, such as biomedparse_v2, and nothing else")
    asks.add_argument("--side", type=int, default=512, help="of the images of --memory")
    asks.add_argument("-o", "--output", type=Path)
    given = asks.parse_args()
    if given.memory:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(memory(given.memory, given.side, Path(folder)), indent=1))
        return
    engine = boltzformer.load(given.model, device="cpu")
    rows: list[Row] = []
    start: Adapter | None = None
    for what in [*given.targets, *given.carry]:
        name, label = what.rsplit(":", 1)
        case = case_of(given.folder, name, int(label), engine)
        start = start.carried() if start is not None and what in given.carry else None
        by_hand = painted(case, given.until) if given.until else 0
        how = (given.counts, given.steps, start, given.baselines, given.at, given.until, given.worst)
        for row, adapter in corrected(engine, case, *how):
            row.painted = by_hand
            rows.append(row)
            start = adapter if what in given.carry else None
            shown = "  ".join(f"{method} {value:.3f}" for method, value in row.dice.items())
            shown += f"  whole {row.whole:.3f}" + (f", painted {by_hand}" if by_hand else "")
            costs = f"{row.learning_cpu_s:.1f} + {row.asking_cpu_s:.1f} CPU s, {row.steps} steps"
            print(f"{row.name} {row.target} {row.lessons}: {shown}  {costs}")
            print(f"    left out {row.left_out}, slices {row.slices}, fit {row.fit}", flush=True)
            if given.output:
                given.output.write_text(json.dumps([asdict(one) for one in rows], indent=1), "utf-8")


if __name__ == "__main__":
    main()
