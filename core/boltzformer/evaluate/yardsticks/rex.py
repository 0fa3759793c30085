"""ReXGroundingCT: sentences of a report, found in a chest CT; overlap and objects of each finding."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.metrics import dice
from boltzformer.evaluate.yardsticks.measures import Counts, in_sequence, meet
from boltzformer.evaluate.yardsticks.scores import Case, Scores, rounded
from boltzformer.image.geometry import Array
from boltzformer.io.findings import Findings, read_findings

COLUMNS = ("Dice", "hit", "precision", "recall", "F1")
HIT = 0.1
"""Dice from which a finding counts as hit."""
SAME = 0.2
"""Dice from which an object counts as found."""
SMALLEST = 10
"""Voxels: smaller pieces are no objects."""
FOLDER = "segmentations"


def score(truth: Path, answers: Path) -> Scores:
    """Every finding of every scan that has an answer: one NIfTI file a scan, (findings, …)."""
    known, given = masks_in(truth), masks_in(answers)
    both = [name for name in known if name in given]
    if not both:
        raise BoltzFormerError(
            f"No answer in {answers} has the name of a scan in {truth}: answers are NIfTI files named like their scan."
        )
    cases = [case for name in both for case in _scored(name, known[name], given[name])]
    return Scores(COLUMNS, cases, unanswered=tuple(name for name in known if name not in given))


def masks_in(place: Path) -> dict[str, Path]:
    """Name of the scan → its file; of a folder, or of `segmentations` in it."""
    if not place.is_dir():
        raise BoltzFormerError(f"There is no folder {place}: give the one that holds the masks (.nii.gz).")
    folder = place / FOLDER if (place / FOLDER).is_dir() else place
    return {path.name: path for path in sorted(folder.iterdir()) if path.name.endswith((".nii.gz", ".nii"))}


def _scored(name: str, truth: Path, answer: Path) -> list[Case]:
    true, claimed = read_findings(truth), read_findings(answer)
    if true.shape != claimed.shape:
        raise BoltzFormerError(
            f"{answer} has the shape {claimed.shape} (findings, z, y, x), its truth {true.shape}: "
            "answer every finding, on the scan's own grid."
        )
    return numbers(name, true, claimed, truth)


def numbers(name: str, true: Findings, claimed: Findings, where: Path) -> list[Case]:
    """Of all findings of a scan."""
    cases = []
    for number, (mask, answer) in enumerate(zip(true, claimed, strict=True)):
        if not mask.any():
            raise BoltzFormerError(f"Finding {number} of {where} has an empty mask: it has no score, leave it out.")
        overlap, met = dice(answer > 0, mask > 0), meet(objects(answer), objects(mask), SAME, "dice")
        told = (overlap, float(overlap >= HIT), met.precision, met.recall, met.f1)
        values = {column: rounded(value) for column, value in zip(COLUMNS, told, strict=True)}
        cases.append(Case(f"{name}/{number}", values))
    return cases


def objects(mask: Array) -> Counts:
    """Pieces that touch, also by a corner, and are large enough."""
    from skimage.measure import label

    pieces = label(mask > 0, connectivity=3)
    large = np.bincount(pieces.ravel()) >= SMALLEST
    large[0] = False
    return in_sequence(np.where(large[pieces], pieces, 0))


def findings_in(place: Path) -> dict[str, dict[int, str]]:
    """Name of the scan → number of the finding → its sentence, from the JSON file of a folder."""
    for path in sorted(place.glob("*.json")):
        told = _json(path)
        several = told if isinstance(told, list) else [one for part in _values(told) for one in part]
        entries = [one for one in several if isinstance(one, dict) and isinstance(one.get("findings"), dict)]
        if entries:
            return {str(one.get("name")): _sentences(path, one) for one in entries}
        if isinstance(told, dict) and told and all(isinstance(one, dict) for one in told.values()):
            return {name: _sentences(path, {"name": name, "findings": one}) for name, one in told.items()}
    raise BoltzFormerError(f'{place} has no JSON file with findings: give name → {{"0": sentence}}.')


def _values(told: Any) -> list[list[Any]]:
    return [part for part in told.values() if isinstance(part, list)] if isinstance(told, dict) else []


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BoltzFormerError(f"{path} can't be read as JSON ({error}): mend it.") from error


def _sentences(path: Path, entry: Mapping[str, Any]) -> dict[int, str]:
    told = entry["findings"].get("findings", entry["findings"])
    good = isinstance(told, dict) and told and all(isinstance(text, str) for text in told.values())
    if not good or sorted(map(str, told)) != sorted(str(number) for number in range(len(told))):
        raise BoltzFormerError(
            f'The findings of {entry.get("name")} in {path} are no table "0", "1", … → sentence: mend it.'
        )
    return {number: told[str(number)] for number in range(len(told))}
