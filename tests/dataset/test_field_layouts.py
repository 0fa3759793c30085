"""Datasets leave in the layouts of the field's yardsticks, and those yardsticks find every voxel in place."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotated import annotate
from PIL import Image

from boltzformer import Grid, LabelMap, Prompt, Volume, io
from boltzformer.cli.cli import run
from boltzformer.dataset import Case, Dataset
from boltzformer.dataset.layouts import read_biomedparse, take_in
from boltzformer.io.findings import read_findings
from boltzformer.io.npz import read_array, read_plain, write_npz
from boltzformer.types import Annotation, SliceState

SHAPE = (8, 10, 12)
RAS = np.diag([-0.8, -0.8, 2.0, 1.0])
"""Stored from left to right and from front to back: both run against our files' axes."""


@pytest.fixture
def kept(store: Dataset) -> Case:
    """A CT with a liver and a lesion in it, judged in all slices, stored with two axes flipped."""
    grid = Grid.from_lps(SHAPE, RAS)
    array = np.random.default_rng(0).integers(-200, 300, SHAPE).astype(np.int16)
    liver, lesion = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    liver[2:6, 1:6, 2:9] = 1
    lesion[3:5, 2:4, 3:6] = 2
    states = {
        name: tuple(SliceState.REVIEWED if mask[z].any() else SliceState.EMPTY for z in range(SHAPE[0]))
        for name, mask in (("liver", liver), ("liver lesion", lesion))
    }
    prompts = (Prompt("liver in abdominal CT", "liver"), Prompt("the liver", "liver"), Prompt("lesion", "liver lesion"))
    labels = LabelMap(np.stack([liver, lesion]), grid, {1: "liver", 2: "liver lesion"})
    store.add(Annotation(Volume(array, grid, "CT"), labels, prompts, states, {}, 0), patient="p", split="test")
    store.add(annotate(reviewed=(1,), painted=(1,)))  # judged in part: those layouts have no word for it
    return next(case for case in store.cases() if "liver" in case.states)


def export(store: Dataset, layout: str, target: Path) -> int:
    return run(["dataset", "export", str(store.path), str(target), "--layout", layout])


def test_a_dataset_leaves_as_cases_of_the_challenge(
    store: Dataset, kept: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(store, "cvpr25", tmp_path / "out") == 0
    assert capsys.readouterr().out == f"1 case in {tmp_path / 'out'}\n"
    path = tmp_path / "out" / f"{kept.id}.npz"
    imgs, gts = read_array(path, "imgs"), read_array(path, "gts")
    assert imgs.shape == gts.shape == SHAPE
    assert imgs.dtype == gts.dtype == np.uint8
    upright = (slice(None), slice(None, None, -1), slice(None, None, -1))
    assert np.array_equal(gts > 0, kept.mask("liver")[upright])
    assert np.array_equal(gts == 2, kept.mask("liver lesion")[upright])  # the smaller lies on top
    assert np.array_equal(imgs, kept.volume.window().apply(kept.volume.array)[upright])
    assert read_array(path, "spacing") == pytest.approx([0.8, 0.8, 2.0])
    assert read_plain(path, "text_prompts") == {
        "1": ["liver in abdominal CT", "the liver"],
        "2": ["lesion"],
        "instance_label": 0,
    }
    first, second = read_plain(path, "boxes")
    assert (second["z_min"], second["z_max"]) == (3, 4)
    assert (second["z_mid_x_min"], second["z_mid_x_max"]) == (6, 8)
    assert first["z_mid"] in range(2, 6)
    assert json.loads((tmp_path / "out" / "splits.json").read_text("utf-8"))["test"] == [kept.id]
    with np.load(path, allow_pickle=True) as official:
        assert official["text_prompts"].item()["instance_label"] == 0
        assert official["boxes"][0]["z_min"] == 2


def test_the_own_truth_as_answer_has_the_full_score(
    store: Dataset, kept: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(store, "cvpr25", tmp_path / "out") == 0
    (tmp_path / "answers").mkdir()
    gts = read_array(tmp_path / "out" / f"{kept.id}.npz", "gts")
    write_npz(tmp_path / "answers" / f"{kept.id}.npz", segs=gts)
    capsys.readouterr()
    for yardstick, column in (("cvpr25-text", "DSC"), ("cvpr25-interactive", "DSC_Final")):
        assert run(["score", "--as", yardstick, str(tmp_path / "out"), str(tmp_path / "answers"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["mean"][column] == 1


def test_a_dataset_leaves_as_findings_of_a_report(store: Dataset, kept: Case, tmp_path: Path) -> None:
    assert export(store, "rex", tmp_path / "out") == 0
    parts = json.loads((tmp_path / "out" / "dataset.json").read_text("utf-8"))
    (entry,) = parts["test"]
    assert entry["findings"] == {"0": "liver in abdominal CT", "1": "lesion"}
    assert entry["shape"] == [12, 10, 8]
    masks = read_findings(tmp_path / "out" / "segmentations" / entry["name"])
    assert np.array_equal(masks[0] > 0, kept.mask("liver"))
    assert np.array_equal(masks[1] > 0, kept.mask("liver lesion"))
    image = io.read(tmp_path / "out" / "images" / entry["name"])
    assert image.grid.same_as(kept.grid)
    assert run(["score", "--as", "rex", str(tmp_path / "out"), str(tmp_path / "out" / "segmentations")]) == 0


def test_a_dataset_leaves_as_pictures_and_comes_back(
    store: Dataset, kept: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(store, "biomedparse", tmp_path / "out") == 0
    count = sum((kept.mask(name).any((1, 2))).sum() for name in ("liver", "liver lesion")) + 1
    assert capsys.readouterr().out == f"{count} masks in {tmp_path / 'out'}\n"
    name = f"{kept.id}-0003_CT_body_liver+lesion.png"
    mask = np.asarray(Image.open(tmp_path / "out" / "test_mask" / name))
    assert np.array_equal(mask > 0, kept.plane(kept.mask("liver lesion"), 3))
    again = Dataset.at(tmp_path / "again")
    assert not [one.error for one in take_in(again, read_biomedparse(tmp_path / "out")) if one.error]
    texts = {text for case in again.cases() for label in case.states for text in case.texts(label)}
    assert {"liver in body CT", "liver lesion in body CT"} <= texts
    masks = str(tmp_path / "out" / "test_mask")
    assert run(["score", "--as", "biomedparse", str(tmp_path / "out"), masks]) == 0


@pytest.mark.parametrize("layout", ["cvpr25", "rex", "biomedparse"])
def test_what_can_t_be_exported_leaves_nothing(
    layout: str, store: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(store, layout, tmp_path / "out") == 2
    assert "there is nothing to export" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "there").mkdir()
    assert export(store, layout, tmp_path / "there") == 2
    assert "exists already" in capsys.readouterr().err
