"""`boltzformer score` by the other yardsticks: clicks, findings of reports, BiomedParse's pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boltzformer.cli.cli import run
from boltzformer.evaluate.yardsticks.cvpr25_interactive import next_click
from boltzformer.evaluate.yardsticks.measures import in_sequence, meet
from boltzformer.evaluate.yardsticks.rex import findings_in
from boltzformer.image.geometry import Grid
from boltzformer.io.findings import read_findings, write_findings

Told = pytest.CaptureFixture[str]


def numbers(yardstick: str, folder: Path, told: Told) -> dict[str, Any]:
    assert run(["score", "--as", yardstick, str(folder / "truth"), str(folder / "answers"), "--json"]) == 0
    return json.loads(told.readouterr().out, parse_constant=pytest.fail)


def refused(yardstick: str, folder: Path, told: Told) -> str:
    assert run(["score", "--as", yardstick, str(folder / "truth"), str(folder / "answers"), "--json"]) == 2
    said = told.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def block(*corners: tuple[int, int], shape: tuple[int, int, int] = (12, 24, 24)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(low, high) for low, high in corners)] = True
    return mask


# --- pairs -------------------------------------------------------------------------------------------------------


def test_the_pairing_with_the_most_objects_wins_over_the_best_single_pair() -> None:
    true, claimed = np.zeros((1, 1, 12), int), np.zeros((1, 1, 12), int)
    true[0, 0, :4], true[0, 0, 4:8] = 1, 2
    claimed[0, 0, 1:7], claimed[0, 0, 7:8] = 1, 2
    met = meet(claimed, true, 0.2)
    assert (met.true, met.claimed, len(met.dices)) == (2, 2, 2)
    assert meet(claimed, true, 0.9).f1 == 0
    assert meet(claimed * 0, true, 0.2).f1 == 0


def test_numbers_of_objects_are_put_in_sequence() -> None:
    assert in_sequence(np.array([0, 7, 3, 7])).tolist() == [0, 2, 1, 2]
    assert in_sequence(np.array([9, 7])).tolist() == [2, 1]


# --- clicks ------------------------------------------------------------------------------------------------------


def test_a_click_lies_in_the_middle_of_the_largest_error() -> None:
    true = block((2, 9), (2, 9), (2, 9)) | block((10, 11), (20, 22), (20, 22))
    assert next_click(true, np.zeros_like(true)) == ((5, 5, 5), True)
    assert next_click(np.zeros_like(true), true) == ((5, 5, 5), False)
    assert next_click(true, true) is None
    small = next_click(true, block((2, 9), (2, 9), (2, 9)))
    assert small is not None
    assert small[0][0] == 10
    assert true[small[0]]


def clicks(folder: Path, gts: np.ndarray, rounds: list[np.ndarray], **more: Any) -> None:
    for name in ("truth", "answers"):
        (folder / name).mkdir(exist_ok=True)
    np.savez_compressed(folder / "truth" / "a.npz", gts=gts, spacing=np.ones(3), **more)
    np.savez_compressed(folder / "answers" / "a.npz", segs=rounds[-1], all_segs=np.stack(rounds))


def test_rounds_are_scored_with_the_areas_over_the_clicks(tmp_path: Path, capsys: Told) -> None:
    gts = block((2, 8), (2, 10), (2, 10)).astype(np.uint8)
    poor = block((2, 3), (2, 3), (2, 10)).astype(np.uint8)
    rounds = [poor, gts * 0, gts, gts, gts, gts]
    clicks(tmp_path, gts, rounds)
    (one,) = numbers("cvpr25-interactive", tmp_path, capsys)["cases"]
    dsc = 2 * 8 / (8 + gts.sum())
    assert one["DSC_1"] == pytest.approx(dsc, abs=1e-4)
    assert one["NSD_1"] == 0  # not looked at below a Dice of 0.2
    assert (one["DSC_2"], one["DSC_6"]) == (0, 1)
    assert (one["DSC_AUC"], one["NSD_AUC"]) == (3.5, 3.5)
    assert (one["DSC_Final"], one["NSD_Final"]) == (1, 1)
    official = [rounds[0], *(part for k in range(1, 6) for part in (rounds[k - 1], rounds[k]))]
    clicks(tmp_path, gts, official)  # the official script keeps each answer twice
    assert numbers("cvpr25-interactive", tmp_path, capsys)["cases"] == [one]


def test_without_a_box_the_first_round_has_nothing(tmp_path: Path, capsys: Told) -> None:
    gts = block((2, 8), (2, 10), (2, 10)).astype(np.uint8)
    clicks(tmp_path, gts, [gts] * 5)
    (one,) = numbers("cvpr25-interactive", tmp_path, capsys)["cases"]
    assert (one["DSC_1"], one["DSC_2"], one["DSC_AUC"]) == (0, 1, 4)
    np.savez_compressed(tmp_path / "answers" / "a.npz", segs=gts)
    (one,) = numbers("cvpr25-interactive", tmp_path, capsys)["cases"]
    assert (one["DSC_Final"], one["DSC_AUC"], one["DSC_1"]) == (1, None, None)


def test_rounds_that_don_t_fit_are_refused(tmp_path: Path, capsys: Told) -> None:
    gts = block((2, 8), (2, 10), (2, 10)).astype(np.uint8)
    clicks(tmp_path, gts, [gts] * 3)
    assert "holds 3 answers" in refused("cvpr25-interactive", tmp_path, capsys)
    clicks(tmp_path, gts, [gts[1:]] * 6)
    assert "give (rounds, z, y, x)" in refused("cvpr25-interactive", tmp_path, capsys)
    clicks(tmp_path, gts * 0, [gts] * 6)
    assert "is empty" in refused("cvpr25-interactive", tmp_path, capsys)


# --- findings ----------------------------------------------------------------------------------------------------

GRID = Grid.from_lps((12, 24, 24), np.diag([0.7, 0.7, 2.0, 1.0]))


def findings(folder: Path, true: list[np.ndarray], claimed: list[np.ndarray], name: str = "scan.nii.gz") -> None:
    for place, masks in (("truth", true), ("answers", claimed)):
        (folder / place).mkdir(exist_ok=True)
        write_findings(folder / place / name, np.stack(masks).astype(np.uint8), GRID)


def test_masks_of_findings_come_back_with_the_findings_first(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 3, (3, 4, 5, 6)).astype(np.uint8)
    grid = Grid.from_lps((4, 5, 6), np.diag([1.0, 2, 3, 1]))
    assert np.array_equal(read_findings(write_findings(tmp_path / "a.nii.gz", made, grid)), made)


def test_other_programs_see_findings_rows_columns_slices(tmp_path: Path) -> None:
    import SimpleITK

    made = np.zeros((2, 4, 5, 6), np.uint8)
    made[1, 3, 2, 1] = 1
    write_findings(tmp_path / "a.nii.gz", made, Grid.from_lps((4, 5, 6), np.eye(4)))
    image = SimpleITK.ReadImage(str(tmp_path / "a.nii.gz"))
    assert image.GetSize() == (2, 6, 5, 4)
    assert SimpleITK.GetArrayFromImage(image)[3, 2, 1, 1] == 1


def test_findings_are_scored_by_overlap_and_by_objects(tmp_path: Path, capsys: Told) -> None:
    two = block((1, 4), (1, 5), (1, 5)) | block((7, 10), (15, 20), (15, 20))
    one = block((1, 4), (1, 5), (1, 5)) | block((11, 12), (0, 3), (20, 23))  # the second has 9 voxels: no object
    findings(tmp_path, [two, two], [one, np.zeros_like(two)])
    told = numbers("rex", tmp_path, capsys)
    first, second = told["cases"]
    dice = 2 * 48 / (two.sum() + one.sum())
    assert first["case"] == "scan.nii.gz/0"
    assert first["Dice"] == pytest.approx(dice, abs=1e-4)
    assert (first["hit"], first["precision"], first["recall"]) == (1, 1, 0.5)
    assert first["F1"] == pytest.approx(2 / 3, abs=1e-4)
    assert (second["Dice"], second["hit"], second["F1"]) == (0, 0, 0)
    assert told["mean"]["hit"] == 0.5


def test_findings_that_don_t_fit_are_refused(tmp_path: Path, capsys: Told) -> None:
    mask = block((1, 4), (1, 5), (1, 5))
    findings(tmp_path, [mask, mask], [mask])
    assert "answer every finding" in refused("rex", tmp_path, capsys)
    findings(tmp_path, [mask * False], [mask])
    assert "has an empty mask" in refused("rex", tmp_path, capsys)
    (tmp_path / "answers" / "scan.nii.gz").write_bytes(b"no image")
    assert "scan.nii.gz" in refused("rex", tmp_path, capsys)
    (tmp_path / "answers" / "scan.nii.gz").unlink()
    assert "has the name of a scan" in refused("rex", tmp_path, capsys)


def test_sentences_are_read_from_lists_of_a_split_and_from_a_plain_table(tmp_path: Path) -> None:
    entry = {"name": "a.nii.gz", "findings": {"0": "a nodule", "1": "an effusion"}, "shape": [1, 2, 3]}
    wanted = {"a.nii.gz": {0: "a nodule", 1: "an effusion"}}
    for told in ({"val": [entry], "test": []}, [entry], {"a.nii.gz": entry["findings"]}, {"a.nii.gz": entry}):
        (tmp_path / "dataset.json").write_text(json.dumps(told))
        assert findings_in(tmp_path) == wanted


# --- BiomedParse's pictures --------------------------------------------------------------------------------------


def pictures(folder: Path, name: str, true: np.ndarray, claimed: np.ndarray) -> None:
    for place in ("truth/test", "truth/test_mask", "answers"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    image = "_".join(name.split("_")[:-1])
    Image.fromarray(np.zeros((*true.shape, 3), np.uint8)).save(folder / "truth/test" / f"{image}.png")
    Image.fromarray(true).save(folder / "truth/test_mask" / f"{name}.png")
    Image.fromarray(claimed).save(folder / "answers" / f"{name}.png")


def test_pictures_are_scored_by_mean_overlap_and_by_the_share_that_reaches_each_level(
    tmp_path: Path, capsys: Told
) -> None:
    true = np.zeros((10, 10), np.uint8)
    true[:, :4] = 255
    half = np.where(true, 255, 0).astype(np.uint8)
    half[:, 3] = 100  # a probability below one half
    pictures(tmp_path, "a_MRI_brain_glioma+core", true, (true > 0).astype(np.uint8))
    pictures(tmp_path, "b_CT_liver_tumor", true, half)
    pictures(tmp_path, "c_CT_liver_tumor", true, np.zeros_like(true))
    told = numbers("biomedparse", tmp_path, capsys)
    assert [one["IoU"] for one in told["cases"]] == [1, 0.75, 0]
    assert told["mean"]["Dice"] == pytest.approx((1 + 6 / 7) / 3, abs=1e-4)
    assert [told["mean"][f"IoU>={level}"] for level in (0.5, 0.7, 0.8)] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert told["mean"]["cIoU"] == pytest.approx(70 / 120)


def test_pictures_that_don_t_fit_are_refused(tmp_path: Path, capsys: Told) -> None:
    true = np.full((10, 10), 255, np.uint8)
    pictures(tmp_path, "a_MRI_brain_glioma", true, true[1:])
    assert "answer in the mask's own size" in refused("biomedparse", tmp_path, capsys)
    (tmp_path / "truth/test/a_MRI_brain.png").unlink()
    assert "which is not there" in refused("biomedparse", tmp_path, capsys)
    (tmp_path / "truth/test_mask/a_MRI_brain_glioma.png").rename(tmp_path / "truth/test_mask/glioma.png")
    assert "is not named" in refused("biomedparse", tmp_path, capsys)
