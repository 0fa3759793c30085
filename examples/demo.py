"""`make demo`: the model that ships finds MS lesions in a brain MRI that it never saw; pictures, masks, Dice."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import typer
from PIL import Image
from rich.progress import track

import boltzformer
from boltzformer import io
from boltzformer.evaluate.metrics import dice
from boltzformer.io.phantom import sample
from boltzformer.knowledge.card import Card
from boltzformer.masks import pictures
from boltzformer.types import Prediction, SliceResult

SEED = 0
AROUND = 3
"""Slices on either side of the noted one."""
UNKNOWN = "coronary stent in chest X-ray"
"""A prompt that the model was never taught."""


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")
    out.mkdir(parents=True, exist_ok=True)
    case, engine = sample(), boltzformer.load("default")
    history, volume = engine.about.history, case.volume
    slices = sorted(range(case.index - AROUND, case.index + AROUND + 1), key=lambda index: abs(index - case.index))

    began = time.perf_counter()
    events = engine.segment(volume, case.prompt, seed=SEED, slices=slices)
    prediction, finished = None, []
    for event in track(events, description=f"Looking for '{case.prompt}'", total=len(slices) + 2):
        if isinstance(event, SliceResult):
            finished.append(time.perf_counter())
        elif isinstance(event, Prediction):
            prediction = event
    assert prediction is not None
    labels = prediction.labels()
    written = io.write(labels, out / "ms-lesions.nii.gz", provenance=prediction.provenance, overwrite=True)

    truth = case.truth.mask(1)
    score = dice(labels.mask(1)[case.index], truth[case.index])
    whole = dice(labels.mask(1)[min(slices) : max(slices) + 1], truth[min(slices) : max(slices) + 1])
    plan, window = prediction.plan, volume.window()
    plain = pictures.slice_picture(volume, plan, window, case.index)
    number = plan.canonical_index(case.index)
    shown, drawn = (plan.view.apply(mask)[number] for mask in (labels.mask(1), truth))
    trace = engine.trace(volume, prediction.prompts[0], case.index, seed=SEED)
    mine = pictures.captioned(
        pictures.outlined(plain, shown),
        f"'{case.prompt}', slice {case.index}: the model's answer",
        f"Dice {score:.2f} against the expert's mask",
    )
    expert = pictures.captioned(pictures.outlined(plain, drawn), "The expert's mask of the same slice", "")
    answer, looks = out / "answer.png", out / "looks.png"
    Image.fromarray(pictures.beside(mine, expert)).save(answer)
    Image.fromarray(pictures.looks_picture(plain, plan, trace, shown)).save(looks)

    card = Card.of(history.notes)
    doubt = card.knows(UNKNOWN).warning() if card else ""
    usual = card.knows(case.prompt).dice if card else None
    promised = "" if usual is None else f" Its card says that {usual:.2f} is usual for such lesions."
    each = np.median(np.diff(finished)) if len(finished) > 1 else finished[0] - began
    typer.echo(f"""
What happened: the model that comes with the package looked for '{case.prompt}' on {len(slices)} slices of a real FLAIR
volume ({case.facts["dataset"]}), a patient that it was never trained on.
Model: {history.name} ({history.data}), {engine.device}, {each:.2f} s per slice.
Dice against the expert's mask: {score:.2f} on slice {case.index}, {whole:.2f} on all {len(slices)} together.{promised}
Picture of the answer beside the expert's mask: {answer}
Where the model looked, from the first look to the last: {looks}
Mask with its provenance: {", ".join(str(path) for path in written)}
A prompt that it never learnt, '{UNKNOWN}', is answered with a warning: {doubt or "(this model has no card)"}
Research only, not for clinical use.""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
