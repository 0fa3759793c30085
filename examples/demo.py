"""`make demo`: the model that ships finds what its card says it finds best; and MS lesions in a brain MRI, before and
after three slices taught it. All of patients that it never saw. Pictures, masks, Dice."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.progress import Progress, track

import boltzformer
from boltzformer import Adapted, Engine, Learning, Lesson, io
from boltzformer.evaluate.evaluate import truth_of
from boltzformer.evaluate.metrics import dice
from boltzformer.io.phantom import Sample, sample
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.learn.finetune.sampling import carried
from boltzformer.masks import pictures
from boltzformer.types import Prediction, SliceResult

SEED = 0
AROUND = 3
"""Slices on either side of the noted one."""
TAUGHT = (-6, 6, 12)
"""From the noted slice to those whose expert's masks stand for a person's corrections; none of them is shown."""
SECONDS = 15.0
"""Of learning."""
PATIENTS = 5
"""Held-back ones that a target's number must rest on."""
UNKNOWN = "coronary stent in chest X-ray"
"""A prompt that the model was never taught."""

Mask = NDArray[np.bool_]


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    out.mkdir(parents=True, exist_ok=True)
    case, engine = sample(), boltzformer.load("default")
    card = Card.of(engine.about.history.notes)
    sight = at_first_sight(engine, card, out / "first-sight.png")
    shown = sorted(range(case.index - AROUND, case.index + AROUND + 1), key=lambda index: abs(index - case.index))
    before, each = asked(engine, case, shown)
    adapter, sentence = learnt(engine, case)
    after, _ = asked(engine.adapted(adapter.adapter), case, shown)
    written = io.write(before.labels(), out / "ms-lesions.nii.gz", provenance=before.provenance, overwrite=True)
    io.write(after.labels(), out / "ms-lesions-learnt.nii.gz", provenance=after.provenance, overwrite=True)
    (first, whole), (then, all_then) = (scores(prediction, case, shown) for prediction in (before, after))
    answer, looks = out / "answer.png", out / "looks.png"
    draw(engine, case, before, after, answer, looks)

    history = engine.about.history
    doubt = card.knows(UNKNOWN).warning() if card else ""
    usual = card.knows(case.prompt).dice if card else None
    promised = "" if usual is None else f" Its card says that {usual:.2f} is usual for such lesions."
    typer.echo(f"""
What happened, all on patients that the model was never trained on:
{sight}
2. It looked for '{case.prompt}' on {len(shown)} slices of a real FLAIR volume ({case.facts["dataset"]}).
   Model: {history.name} ({history.data}), {engine.device}, {each:.2f} s per slice.
   Dice against the expert's mask: {first:.2f} on slice {case.index}, {whole:.2f} on all {len(shown)}.{promised}
3. Three other slices, corrected by the expert, taught it. {sentence}
   Dice then: {then:.2f} on slice {case.index}, {all_then:.2f} on all {len(shown)}.
   Before, after, and the expert's mask: {answer}
   Where the model looked, from the first look to the last: {looks}
   Masks with their provenance: {", ".join(str(path) for path in written)}
A prompt that it never learnt, '{UNKNOWN}', is answered with a warning: {doubt or "(this model has no card)"}
Research only, not for clinical use.""")
    return 0


def at_first_sight(engine: Engine, card: Card | None, place: Path) -> str:
    """The first held-back picture that we carry of the target that the card has the highest number for."""
    rows = read_manifest(carried("check"))
    known = {one.name: one.metrics for one in card.targets} if card else {}
    good = {row.target for row in rows if (known.get(row.target, {}).get("groups") or 0) >= PATIENTS}
    if not good:
        return "1. (Its card has no numbers to choose a picture by.)"
    best = max(sorted(good), key=lambda name: known[name]["dice"])
    row = next(row for row in rows if row.target == best)
    volume = io.read(row.image)
    *_, found = engine.segment(volume, row.prompts[0], seed=SEED)
    assert isinstance(found, Prediction)
    truth = truth_of(row, volume.grid)
    assert truth is not None
    plan, mask = found.plan, found.labels().mask(1)
    plain = pictures.slice_picture(volume, plan, volume.window(), 0)
    score = dice(mask, truth)
    mine = pictures.captioned(
        pictures.outlined(plain, plan.view.apply(mask)[0]),
        f"'{row.prompts[0]}': the model's answer",
        f"Dice {score:.2f} against the expert's mask",
    )
    expert = pictures.captioned(pictures.outlined(plain, plan.view.apply(truth)[0]), "The expert's mask", "")
    Image.fromarray(pictures.beside(mine, expert)).save(place)
    return (
        f"1. It looked for '{row.prompts[0]}' in a picture ({row.notes.get('dataset')}): Dice {score:.2f}.\n"
        f"   Picture: {place}\n"
        f"   Chosen by its card alone: the target with the highest number, {known[best]['dice']:.2f} on "
        f"{known[best]['groups']} held-back patients, and of that the first picture that comes with the package."
    )


def asked(engine: Engine, case: Sample, slices: Sequence[int]) -> tuple[Prediction, float]:
    """The answer, and seconds per slice."""
    stamps = [time.perf_counter()]
    events = engine.segment(case.volume, case.prompt, seed=SEED, slices=slices)
    for event in track(events, description=f"Looking for '{case.prompt}'", total=len(slices) + 2):
        if isinstance(event, SliceResult):
            stamps.append(time.perf_counter())
    assert isinstance(event, Prediction)
    return event, float(np.median(np.diff(stamps)))


def learnt(engine: Engine, case: Sample) -> tuple[Adapted, str]:
    """From the expert's masks of three slices; and what is said of it."""
    plan = engine.plan(case.volume)
    seen = plan.view.apply(case.truth.mask(1))
    numbers = [case.index + away for away in TAUGHT]
    lessons = [Lesson(index, seen[plan.canonical_index(index)].copy()) for index in numbers]
    with Progress() as progress:
        bar = progress.add_task("Learning from three slices", total=None)
        for event in boltzformer.adapt(engine, case.volume, case.prompt, lessons, seconds=SECONDS, seed=SEED):
            if isinstance(event, Learning):
                progress.update(bar, completed=event.step, total=event.of or None)
    assert isinstance(event, Adapted)
    return event, event.sentence


def scores(prediction: Prediction, case: Sample, slices: Sequence[int]) -> tuple[float, float]:
    """Dice on the noted slice, and on all together."""
    mask, truth = prediction.labels().mask(1), case.truth.mask(1)
    some = slice(min(slices), max(slices) + 1)
    return dice(mask[case.index], truth[case.index]), dice(mask[some], truth[some])


def draw(engine: Engine, case: Sample, before: Prediction, after: Prediction, answer: Path, looks: Path) -> None:
    """Before, after and the expert's mask of the noted slice; and the nine looks."""
    plan = before.plan
    plain = pictures.slice_picture(case.volume, plan, case.volume.window(), case.index)
    number = plan.canonical_index(case.index)
    masks = (before.labels().mask(1), after.labels().mask(1), case.truth.mask(1))
    flat: list[Mask] = [plan.view.apply(mask)[number] for mask in masks]
    titles = ("the model alone", "taught by three other slices", "the expert's mask")
    texts = [f"Dice {dice(mask, flat[2]):.2f} against the expert's mask" for mask in flat[:2]]
    tiles = [
        pictures.captioned(pictures.outlined(plain, mask), f"Slice {case.index}: {title}", text)
        for mask, title, text in zip(flat, titles, [*texts, ""], strict=True)
    ]
    Image.fromarray(pictures.beside(*tiles)).save(answer)
    trace = engine.trace(case.volume, before.prompts[0], case.index, seed=SEED)
    Image.fromarray(pictures.looks_picture(plain, plan, trace, flat[0])).save(looks)


if __name__ == "__main__":
    sys.exit(main())
