"""What an evaluation leaves: lines per row, numbers, a table for people, a contact sheet. Whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.atomic import private_folder
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.evaluate import Answers, Asked, Scored, truth_of
from boltzformer.evaluate.volumes import volume_lines
from boltzformer.knowledge.absent import Absent
from boltzformer.knowledge.card_text import in_range, number
from boltzformer.masks import pictures
from boltzformer.types import Volume


def check_folder(output: Path) -> None:
    """Before work is spent: can results be written there?"""
    nearest = next((place for place in (output, *output.absolute().parents) if place.exists()), output)
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        why = "you may not write there" if nearest.is_dir() else "it is a file"
        raise BoltzFormerError(f"Results can't be written to {output} ({nearest}: {why}): choose another --output.")


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A folder to write into; what is in it goes to `output` at the end, or vanishes if something went wrong."""
    folder = output.absolute().with_name(f".{output.absolute().name}.{secrets.token_hex(4)}.part")
    try:
        private_folder(folder)
        yield folder
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = output / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    except OSError as error:
        raise BoltzFormerError(
            f"Results can't be written to {output} ({error.strerror or error}): free some space or choose another one."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_all(folder: Path, facts: Mapping[str, Any], scored: Sequence[Scored], root: Path) -> None:
    """predictions.jsonl, absent.jsonl (if any were drawn), metrics.json and report.txt."""
    rows = sorted((one for one in scored if one.usual and one.absent is None), key=lambda one: one.row.number)
    _lines(folder / "predictions.jsonl", [_prediction(one) for one in rows])
    drawn = [_drawn(one, one.absent, root) for one in scored if one.absent is not None]
    if drawn:
        _lines(folder / "absent.jsonl", drawn)
    (folder / "metrics.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")
    (folder / "report.txt").write_text(table(facts) + "\n", "utf-8")


def _prediction(one: Scored) -> dict[str, Any]:
    return {
        "row": one.row.number,
        "prompt": one.prompt,
        "existence": one.existence,
        "dice": one.dice,
        "area": one.area,
        "saved": one.saved,
    }


def _drawn(one: Scored, absent: Absent, root: Path) -> dict[str, Any]:
    """Like a manifest's row, so that others can ask the same."""
    row = absent.row
    return {
        "image": os.path.relpath(row.image, root),
        "mask": None,
        "target": absent.target,
        "prompts": list(absent.prompts),
        "group_id": row.group,
        "modality": row.modality,
        "source": row.source,
        "absent": absent.kind,
        "rule": absent.rule,
        "window": absent.window,
        "existence": one.existence,
        "marked": one.claimed,
    }


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def table(facts: Mapping[str, Any]) -> str:
    """For people."""
    macro, existence, never, empty = (facts[name] for name in ("macro", "existence", "never_taught", "empty"))
    model, data = facts["model"], facts["data"]
    head = f"{'':34}{'n':>5}{'groups':>8}{'Dice':>7}  {'95 %':13}{'NSD':>6}{'HD95':>12}{'F1':>7}{'missed':>8}"
    parts = [
        f"{model['name']}, {data['rows']} rows of {data['manifest']}"
        + (f" ({data['part']})" if data["part"] else "")
        + (", licensed ones only" if data["licensed"] else ""),
        "",
        f"Dice, mean over {macro['targets']} targets with at least {facts['how']['min_masks']} masks: "
        f"{number(macro['dice'])} {in_range(macro['dice_interval'])}",
        f"Dice of objects under 1 % of the image, {macro['targets_small']} targets: "
        f"{number(macro['dice_small'])} {in_range(macro['dice_small_interval'])}",
        f"NSD {number(macro['nsd'])}, HD95 {_distance(macro)}, object-wise F1 {number(macro['lesion_f1'])}",
        *(
            f"Existence, {kind} absent prompts: AUROC {number(existence[f'auroc_{kind}'])} "
            f"{in_range(existence[f'auroc_{kind}_interval'])}, {existence['n_present']} present, "
            f"{existence[f'n_{kind}']} absent"
            for kind in ("easy", "hard")
        ),
        f"Nothing to find: {empty['left_empty']} of {empty['n']} left empty",
        *_other(facts, never),
    ]
    for title, name in (("target", "targets"), ("modality", "modalities"), ("share of the image", "bands")):
        some = {key: value for key, value in facts[name].items() if value["n"]}
        parts += ["", title + head[len(title) :]]
        parts += [_row(key, value, name == "targets") for key, value in some.items()]
    parts += volume_lines(facts["volumes"])
    if any(value["taught"] is False for value in facts["targets"].values()):
        parts.append("* never taught, or with too few patients to count as taught: not in the means")
    return "\n".join(parts)


def _other(facts: Mapping[str, Any], never: Mapping[str, Any]) -> list[str]:
    """What does not count, in its own lines."""
    other, centred = facts["other_phrasings"]["macro"], facts["centred_crops"]
    return [
        *([f"Other phrasings: Dice {number(other['dice'])} {in_range(other['dice_interval'])}"] if other["n"] else []),
        *(
            [f"Never or barely taught: Dice {number(never['macro']['dice'])}, {never['macro']['targets']} targets"]
            if never["macro"]["n"]
            else []
        ),
        *([f"Crops centred on their object: Dice {number(centred['dice'])}, n {centred['n']}"] if centred["n"] else []),
    ]


def _row(name: str, one: Mapping[str, Any], marks: bool) -> str:
    shown = name + ("*" if marks and one["taught"] is False else "")
    return (
        f"{shown[:33]:34}{one['n']:>5}{one['groups']:>8}{number(one['dice']):>7}  {in_range(one['dice_interval']):13}"
        f"{number(one['nsd']):>6}{_distance(one):>12}{number(one['lesions']['f1']):>7}{one['missed']:>8}"
    )


def _distance(one: Mapping[str, Any]) -> str:
    parts = [f"{one[f'hd95_{unit}']:.1f} {unit}" for unit in ("px", "mm") if one[f"hd95_{unit}"] is not None]
    return " / ".join(parts) or "-"


def sha256_of(path: Path) -> str:
    """Of a file, so that the data of a result can be told."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SHOWN = 4
"""So many of the best, the median and the worst pictures are drawn; of volumes one each."""
THROUGH = (0.25, 0.5, 0.75)
"""Of a volume, the slices so far through the object."""
TILE = 300
"""Width of one of them in pixels."""


def contact_sheet(path: Path, scored: Sequence[Scored], answers: Answers) -> None:
    """By Dice, a row of tiles each: truth in cyan, the answer in orange. They are asked anew."""
    present = sorted(
        (one for one in scored if one.usual and one.dice is not None and not one.row.centred),
        key=lambda one: one.dice or 0,
    )
    flat, deep = ([one for one in present if (one.volume is not None) == whole] for whole in (False, True))
    sheet = [
        pictures.beside(*(tile for one in some for tile in _tiles(title, one, answers)))
        for kind, shown in ((flat, SHOWN), (deep, 1))
        for title, some in _chosen(kind, shown)
    ]
    if sheet:
        width = max(picture.shape[1] for picture in sheet)
        padded = [np.pad(picture, ((0, 8), (0, width - picture.shape[1]), (0, 0))) for picture in sheet]
        pictures.save(np.concatenate(padded), path)


def _chosen(present: Sequence[Scored], shown: int) -> list[tuple[str, Sequence[Scored]]]:
    """From the worst to the best."""
    count = min(shown, len(present))
    middle = (len(present) - count) // 2
    rows = [("best", present[::-1][:count]), ("median", present[middle : middle + count]), ("worst", present[:count])]
    return rows if present else []


def _tiles(title: str, one: Scored, answers: Answers) -> list[pictures.Picture]:
    volume = io.read(one.row.image)
    truth = truth_of(one.row, volume.grid)
    assert truth is not None
    return [_tile(title, one, answers, volume, truth, index) for index in _slices(truth, volume.slice_axis)]


def _slices(truth: NDArray[np.bool_], axis: int) -> list[int]:
    """A picture's only one; else through the object, by its extent."""
    hit = np.flatnonzero(truth.any(axis=tuple(other for other in range(3) if other != axis)))
    if truth.shape[axis] == 1:
        return [0]
    return [int(np.quantile(hit, share, method="nearest")) for share in THROUGH]


def _tile(
    title: str, one: Scored, answers: Answers, volume: Volume, truth: NDArray[np.bool_], index: int
) -> pictures.Picture:
    axis = volume.slice_axis
    (given,) = answers(volume, [Asked(one.prompt, one.target)], index)
    plane = volume.window().apply(np.ascontiguousarray(volume.array.take(index, axis)))
    picture = plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)
    picture = pictures.outlined(picture, np.take(truth, index, axis), pictures.CYAN)
    picture = pictures.outlined(picture, np.take(given.mask, index, axis))
    where = "" if volume.array.shape[axis] == 1 else f", slice {index}"
    return pictures.captioned(
        picture,
        f"{title}: {one.prompt}"[:48],
        f"Dice {one.dice:.3f}, existence {given.existence:.2f}, row {one.row.number}{where}",
        "cyan: truth, orange: answer",
        width=TILE,
    )
