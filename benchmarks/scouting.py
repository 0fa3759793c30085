"""What scouting saves and loses on labelled volumes: share of the slices asked, objects and Dice lost.

    python benchmarks/scouting.py FOLDER [--model default] [--every 2 3 4 6]

FOLDER holds NAME.nii.gz, NAME__label.nii.gz and NAME.json. Every label is asked for alone, on all slices; which of
these a scout would have asked is then known. Counted are the true objects (in 3-D) that the whole run marks somewhere
and the scouted one nowhere.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path

import numpy as np

import boltzformer
from boltzformer import Prediction, io
from boltzformer.engine.run import outwards
from boltzformer.engine.scout import Scout
from boltzformer.evaluate.metrics import dice
from boltzformer.masks.objects import pieces


def main() -> None:
    """Prints a row per label, and the sums."""
    asks = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asks.add_argument("folder", type=Path)
    asks.add_argument("--model", default="default")
    asks.add_argument("--every", nargs="*", type=int, default=[2, 3, 4, 6])
    given = asks.parse_args()
    engine = boltzformer.load(given.model, device="cpu")
    sums = {every: np.zeros(4) for every in given.every}
    drops: dict[int, list[float]] = {every: [] for every in given.every}
    for path in sorted(given.folder.glob("*.json")):
        told = json.loads(path.read_text("utf-8"))["labels"]
        told = ast.literal_eval(told) if isinstance(told, str) else told
        volume = io.read(path.with_suffix(".nii.gz"))
        labels = io.read_labels(path.parent / f"{path.stem}__label.nii.gz")
        for value, one in told.items():
            *_, whole = engine.segment(volume, one["prompts"][0])
            assert isinstance(whole, Prediction)
            truth, mask = labels.mask(int(value)), whole.labels().layers[0] > 0
            parts = pieces(truth)
            axis, slices = whole.plan.axis, {one.index: one for one in whole.slices}
            line = f"{path.stem} {one['target']}: {len(slices)} slices"
            for every in given.every:
                scout, asked = Scout(outwards(whole.plan.indices, None), every), set[int]()
                while (index := scout.next_index()) is not None:
                    asked.add(index)
                    scout.heard(slices[index])
                part = mask.copy()
                rest = [index for index in slices if index not in asked]
                np.moveaxis(part, axis, 0)[rest] = False
                found, kept = (set(np.unique(parts[some & truth])) - {0} for some in (mask, part))
                sums[every] += len(asked), len(slices), len(found), len(found - kept)
                drops[every].append(dice(mask, truth) - dice(part, truth))
                line += f"; {every}: {len(asked)}, lost {len(found - kept)} of {len(found)}"
            print(line, flush=True)
    for every, (asked_, slices_, found_, lost) in sums.items():
        share = 100 * lost / max(1, found_)
        print(
            f"every {every}: asked {100 * asked_ / slices_:.0f} % of {slices_:.0f} slices, lost {lost:.0f} of "
            f"{found_:.0f} objects ({share:.1f} %), Dice {-np.mean(drops[every]):+.4f} on average, "
            f"worst {-max(drops[every]):+.3f}"
        )


if __name__ == "__main__":
    main()
