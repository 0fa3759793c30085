"""Whole volumes in `boltzformer evaluate`: asked on all slices, scored in 3-D, blamed for slices that hold nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from PIL import Image

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.evaluate.evaluate import Answers, Asked, Given, evaluate
from boltzformer.evaluate.report import contact_sheet
from boltzformer.evaluate.summary import summary
from boltzformer.image.geometry import Grid
from boltzformer.io.phantom import phantom
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.card_text import markdown
from boltzformer.knowledge.manifest import Row, read_manifest
from boltzformer.types import LabelMap, Volume

BRIGHT, DARK = 1, 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantoms with their blobs, one of them asked for something absent, and one whose mask is empty."""
    folder = tmp_path_factory.mktemp("volumes")
    rows: list[dict[str, Any]] = []
    for name, seed in (("a", 4242), ("b", 11)):
        made = phantom(seed, (32, 96, 96))
        io.write_volume(made.volume, folder / f"{name}.nii.gz")
        io.write(made.labels, folder / f"{name}-labels.nii.gz")
        for label in (BRIGHT, DARK):
            kind = made.labels.names[label]
            row = {"image": f"{name}.nii.gz", "mask": f"{name}-labels.nii.gz", "label": label, "target": kind}
            rows.append({**row, "prompts": [kind, f"a {kind}"], "group_id": name, "modality": "CT"})
    rows.append({**rows[0], "mask": None, "target": "polyp", "prompts": ["polyp"], "absent": "easy"})
    rows.append({**rows[2], "label": 77, "target": "dark blob", "prompts": ["dark blob"]})
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return manifest


@pytest.fixture(scope="module")
def result(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("result")
    assert run(["evaluate", str(data), "-o", str(output), "--model", str(PHANTOM_MODEL), "--save-masks"]) == 0
    return output


def facts_of(result: Path) -> dict[str, Any]:
    return json.loads((result / "metrics.json").read_text("utf-8"), parse_constant=pytest.fail)["volumes"]


def masks(data: Path, result: Path, number: int) -> tuple[np.ndarray, np.ndarray, Row]:
    """What was marked for a row, and what is true."""
    row = read_manifest(data)[number]
    found = io.read(result / "masks" / f"{number:06d}.nii.gz").array > 0
    assert row.mask is not None
    return found, io.read_labels(row.mask).mask(row.label or 0), row


def test_volumes_are_scored_in_3d_by_target_and_on_average(data: Path, result: Path) -> None:
    facts, dices = facts_of(result), {}
    for number in range(4):
        found, truth, row = masks(data, result, number)
        dices.setdefault(row.target, []).append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert facts["n"] == 4
    assert (facts["images"], facts["groups"]) == (2, 2)
    for target, several in dices.items():
        one = facts["targets"][target]
        assert one["dice"] == pytest.approx(np.mean(several))
        assert one["dice_interval"][0] <= one["dice"] <= one["dice_interval"][1]
        assert {"nsd", "hd95_mm", "volume_ratio", "lesions", "existence_auroc"} <= set(one)
    assert facts["macro"]["dice"] == pytest.approx(np.mean([np.mean(several) for several in dices.values()]))
    assert facts["macro"]["targets"] == 2


def test_marks_in_slices_without_the_object_are_counted(data: Path, result: Path) -> None:
    marked = empty = 0
    for number in (0, 1, 2, 3, 5):  # the last has a mask without the object: all its slices are empty
        found, truth, _ = masks(data, result, number)
        nothing = ~truth.any((1, 2))
        empty += int(nothing.sum())
        marked += int((found.any((1, 2)) & nothing).sum())
    facts = facts_of(result)
    assert facts["empty_slices"] == empty
    assert facts["empty_marked"] == pytest.approx(marked / empty)
    assert facts["existence_auroc"] > 0.7  # the phantom model knows where blobs are


def test_what_is_claimed_where_nothing_is_counts_in_millilitres(data: Path, result: Path) -> None:
    facts = facts_of(result)["absent"]
    assert facts["n"] == 2
    assert facts["easy"]["n"] == facts["empty"]["n"] == 1
    image = io.read(read_manifest(data)[4].image)
    voxel = np.prod(image.grid.spacing_mm) / 1000
    claimed = [(io.read(result / "masks" / f"{number:06d}.nii.gz").array > 0).sum() * voxel for number in (4, 5)]
    assert facts["ml"] == pytest.approx(np.mean(claimed))
    assert facts["marked"] == np.mean([one > 0 for one in claimed])
    assert facts["easy"]["ml"] == pytest.approx(claimed[0])


def test_the_report_shows_volumes_and_three_slices_of_three_of_them(result: Path) -> None:
    text = (result / "report.txt").read_text("utf-8")
    assert "Whole volumes, asked as a user would" in text
    assert "Slices without the object that are marked" in text
    assert "Asked for what is not in the volume (1 empty, 1 easy)" in text
    sheet = np.asarray(Image.open(result / "contact.png"))
    assert sheet.shape[1] == 3 * 306
    assert sheet.shape[0] > 3 * 300


def test_a_card_tells_of_whole_volumes(result: Path) -> None:
    facts = json.loads((result / "metrics.json").read_text("utf-8"))
    row = Row(0, Path("i"), Path("m"), None, "bright blob", ("bright blob",), "g", modality="CT")
    card = Card.made([row], [row], split="all", run={}).measured(facts)
    assert Card.of(card.notes()) == card
    assert "cases" not in card.metrics["volumes"]  # names of images stay out of what is passed on
    text = markdown(card, "m", "")
    shown = f"{facts['volumes']['macro']['dice']:.3f}"
    assert f"Dice of whole volumes in 3-D, mean over 2 targets (4 masks): {shown}" in text
    assert "for what is not in it" in text
    curve = facts["volumes"]["calibration"]["curve"]
    assert sum(one["n"] for one in curve) == 5 * 32  # every slice of the volumes with a mask
    assert "| score | pictures | slices of volumes |" in text
    for one in curve:
        assert f"| {one['present']:.0%} of {one['n']} |" in text
    without = {key: value for key, value in facts.items() if key != "volumes"}  # as older versions wrote them
    assert "whole volumes" not in markdown(card.measured(without), "m", "")


def fixed(marks: np.ndarray, sure: list[float]) -> Answers:
    """Answers that are known beforehand."""

    def answer(volume: Volume, asked: Any, index: int | None = None) -> list[Given]:
        return [Given(marks, max(sure), np.array(sure, np.float32)) for _ in asked]

    return answer


@pytest.fixture
def tilted(tmp_path: Path) -> tuple[Row, np.ndarray]:
    """A volume of 2 × 1 × 3 mm, stored with its slices along y; the object is in two of four."""
    truth = np.zeros((6, 4, 5), bool)
    truth[1:4, 1:3, 1:4] = True
    affine = np.diag([1.0, 3.0, 1.0, 1.0])
    grid = Grid.from_lps(truth.shape, affine)
    io.write_volume(Volume(np.arange(120, dtype=np.int16).reshape(truth.shape), grid), tmp_path / "v.nii.gz")
    io.write(LabelMap(truth[None].astype(np.uint8), grid, {1: "x"}), tmp_path / "l.nii.gz")
    return Row(0, tmp_path / "v.nii.gz", tmp_path / "l.nii.gz", 1, "x", ("x",), "g"), truth


def test_slices_are_counted_along_the_axis_that_the_volume_is_cut(tilted: tuple[Row, np.ndarray]) -> None:
    row, truth = tilted
    marks = truth.copy()
    marks[0, 0, 0] = True
    (one,) = evaluate(fixed(marks, [0.4, 0.9, 0.8, 0.85]), [row], Listed.of([row]))
    assert one.volume is not None
    assert one.volume.present.tolist() == [False, True, True, False]
    assert one.volume.marked.tolist() == [True, True, True, False]
    assert (one.volume.true_ml, one.volume.claimed_ml) == pytest.approx((0.054, 0.057))
    facts = summary([one], None)["volumes"]
    assert facts["empty_marked"] == 0.5
    assert facts["targets"]["x"]["volume_ratio"] == pytest.approx(19 / 18)
    assert facts["existence_auroc"] == 0.75
    assert facts["macro"]["dice_interval"] is None  # one patient


def test_a_manifest_of_pictures_has_no_volumes(tmp_path: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "p.png")
    Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    row = Row(0, tmp_path / "p.png", tmp_path / "m.png", None, "x", ("x",), "g")
    (one,) = evaluate(fixed(np.ones((1, 16, 16), bool), [1.0]), [row], Listed.of([row]))
    assert one.volume is None
    facts = summary([one], None)["volumes"]
    assert facts["n"] == facts["images"] == 0
    assert facts["macro"]["dice"] is facts["empty_marked"] is facts["absent"]["marked"] is None


def test_the_sheet_shows_slices_that_hold_the_object(tilted: tuple[Row, np.ndarray], tmp_path: Path) -> None:
    row, truth = tilted
    asked: list[int | None] = []

    def answer(volume: Volume, questions: list[Asked], index: int | None = None) -> list[Given]:
        asked.append(index)
        return [Given(truth, 1.0) for _ in questions]

    (one,) = evaluate(answer, [row], Listed.of([row]))
    contact_sheet(tmp_path / "c.png", [one], answer)
    assert asked[0] is None  # all slices
    assert len(asked) == 1 + 3 * 3
    assert set(asked[1:]) == {1, 2}  # those with the object
