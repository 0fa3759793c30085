"""`boltzformer score --as cvpr25-text`: the official numbers, the official oddities, and refusals in one sentence."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boltzformer.cli.cli import run
from boltzformer.evaluate.yardsticks.measures import areas_by_code, surface_dice

YARDSTICKS = Path(__file__).parents[2] / "../shared/yardsticks"
KINDS = ("shrunk", "grown", "half", "some", "more", "moved", "nothing")
Told = pytest.CaptureFixture[str]


def ball(shape: tuple[int, int, int], middle: tuple[float, float, float], radius: float) -> np.ndarray:
    places = np.indices(shape) - np.array(middle)[:, None, None, None]
    return (places**2).sum(0) <= radius**2


def objects(value: object) -> np.ndarray:
    one = np.empty((), object)
    one[()] = value
    return one


def case(folder: Path, gts: Any, segs: Any, name: str = "a", **change: Any) -> list[str]:
    """A truth and an answer on the disk, and the command that scores them."""
    told = {"spacing": np.array([1.0, 1.0, 1.0]), "text_prompts": objects({"1": "liver", "instance_label": 0})}
    for place, arrays in (("truth", {"gts": gts, **told, **change}), ("answers", {"segs": segs})):
        (folder / place).mkdir(exist_ok=True)
        np.savez_compressed(folder / place / f"{name}.npz", **{k: v for k, v in arrays.items() if v is not None})
    return ["score", "--as", "cvpr25-text", str(folder / "truth"), str(folder / "answers")]


def numbers(command: list[str], told: Told) -> dict[str, Any]:
    assert run([*command, "--json"]) == 0
    return json.loads(told.readouterr().out, parse_constant=pytest.fail)


def prompts(instances: int, *labels: int) -> np.ndarray:
    return objects({**{str(label): "something" for label in labels or (1,)}, "instance_label": instances})


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_official_script(kind: str, capsys: Told) -> None:
    if not YARDSTICKS.is_dir():
        pytest.skip("the recorded yardsticks are not here")
    wanted = json.loads((YARDSTICKS / "expected.json").read_text("utf-8"))[kind]
    found = numbers(["score", "--as", "cvpr25-text", str(YARDSTICKS / "truth"), str(YARDSTICKS / kind)], capsys)
    rows = {one.pop("case"): one for one in found["cases"]}
    assert rows == wanted
    for column in ("DSC", "NSD", "F1", "DSC_TP"):
        known = [row[column] for row in wanted.values() if row[column] is not None]
        assert found["mean"][column] == (pytest.approx(np.mean(known)) if known else None)


def test_a_surface_is_measured_in_the_size_of_its_voxels() -> None:
    flat, across = 0b1111, 0b00110011  # the code of a face across the first axis, and of one across the second
    areas = areas_by_code((3.0, 1.0, 2.0))
    assert areas[flat] == pytest.approx(1 * 2)
    assert areas[across] == pytest.approx(3 * 2)
    assert areas[[0, 255]].tolist() == [0, 0]
    assert np.allclose(areas, areas[::-1])  # inside out


def test_surfaces_within_the_tolerance_count_by_their_area() -> None:
    whole = np.zeros((4, 30, 30), bool)
    whole[:, 5:25, 5:25] = True
    moved = np.roll(whole, 3, axis=1)
    assert surface_dice(whole, whole, (1, 1, 1), 2) == 1
    assert surface_dice(moved, whole, (1, 0.5, 1), 2) == 1
    assert 0.5 < surface_dice(moved, whole, (1, 1, 1), 2) < 1
    assert surface_dice(moved, whole, (1, 1, 1), 2) < surface_dice(moved, whole, (1, 1, 1), 3)
    assert surface_dice(np.zeros_like(whole), whole, (1, 1, 1), 2) == 0
    assert np.isnan(surface_dice(np.zeros_like(whole), np.zeros_like(whole), (1, 1, 1), 2))


def test_only_labels_that_are_there_and_asked_for_count(tmp_path: Path, capsys: Told) -> None:
    gts = np.zeros((6, 20, 20), np.uint8)
    gts[:, 2:8, 2:8], gts[:, 12:18, 12:18] = 1, 2
    segs = np.where(gts == 1, 1, 0).astype(np.uint8)
    segs[0, 0, 0] = 3  # an invented organ costs nothing
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(0, 1, 3)), capsys)
    assert found["cases"] == [{"case": "a", "DSC": 1.0, "NSD": 1.0, "F1": None, "DSC_TP": None}]
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(0, 1, 2)), capsys)
    assert (found["mean"]["DSC"], found["mean"]["NSD"]) == (0.5, 0.5)
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(0, 9)), capsys)
    assert found["cases"][0]["DSC"] is None


def test_the_spacing_is_taken_as_stored_along_the_axes_of_the_array(tmp_path: Path, capsys: Told) -> None:
    gts = np.zeros((20, 20, 20), np.uint8)
    gts[4:16, 4:16, 4:16] = 1
    segs = np.roll(gts, 3, axis=0)
    near = numbers(case(tmp_path, gts, segs, spacing=np.array([0.5, 5, 5])), capsys)
    far = numbers(case(tmp_path, gts, segs, spacing=np.array([5, 5, 0.5])), capsys)
    assert near["mean"]["NSD"] == 1
    assert far["mean"]["NSD"] < 1


def test_objects_are_paired_from_half_an_overlap_on(tmp_path: Path, capsys: Told) -> None:
    gts = np.zeros((4, 40, 40), np.uint8)
    gts[:, 2:12, 2:12], gts[:, 22:32, 22:32] = 5, 9  # numbers need not follow each other
    segs = np.zeros_like(gts)
    segs[:, 2:12, 2:11], segs[:, 26:36, 26:36], segs[0, 39, 39] = 7, 3, 1
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(1)), capsys)
    assert found["cases"] == [{"case": "a", "DSC": None, "NSD": None, "F1": 0.4, "DSC_TP": 0.9474}]


@pytest.mark.parametrize("value", [1, 7, 255])
def test_a_binary_answer_is_split_where_voxels_share_no_face(value: int, tmp_path: Path, capsys: Told) -> None:
    gts = np.zeros((2, 12, 12), np.uint8)
    gts[:, 2:4, 2:4], gts[:, 4:6, 4:6], gts[:, 8:10, 8:10] = 1, 2, 3
    segs = np.where(gts, value, 0).astype(np.uint8)
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(1)), capsys)
    # behind 255 the first piece gets the number 0 in 8 bits and is lost, officially as here
    assert found["mean"]["F1"] == (0.8 if value == 255 else 1.0)


def test_more_pieces_than_8_bits_have_numbers_are_all_counted(tmp_path: Path, capsys: Told) -> None:
    gts, segs = np.zeros((1, 40, 40), np.uint8), np.zeros((1, 40, 40), np.uint8)
    segs[0, ::2, ::2] = 1
    gts[0, :20:2, ::2] = np.arange(1, 201).reshape(10, 20)
    found = numbers(case(tmp_path, gts, segs, text_prompts=prompts(1)), capsys)
    assert found["mean"] == {"DSC": None, "NSD": None, "F1": round(2 * 200 / 600, 4), "DSC_TP": 1.0}


def test_an_instance_answer_without_any_object_has_f1_0(tmp_path: Path, capsys: Told) -> None:
    gts = np.zeros((2, 12, 12), np.uint8)
    gts[:, 2:4, 2:4] = 1
    found = numbers(case(tmp_path, gts, np.zeros_like(gts), text_prompts=prompts(1)), capsys)
    assert found["cases"] == [{"case": "a", "DSC": None, "NSD": None, "F1": 0.0, "DSC_TP": 0.0}]


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint16, np.int64, np.float32])
def test_labels_of_any_kind_of_number_are_read(kind: type, tmp_path: Path, capsys: Told) -> None:
    gts = ball((9, 20, 20), (4, 10, 10), 4).astype(np.uint8)
    found = numbers(case(tmp_path, gts.astype(kind), gts.astype(kind)), capsys)
    assert found["mean"]["DSC"] == 1


def test_text_prompts_may_list_phrasings_and_lie_beside_the_image(tmp_path: Path, capsys: Told) -> None:
    gts = ball((9, 20, 20), (4, 10, 10), 4).astype(np.uint8)
    several = objects({"1": ["liver", "the liver"], "instance_label": np.int64(0)})
    command = case(tmp_path, gts, gts, text_prompts=several)
    wanted = numbers(command, capsys)
    truth = tmp_path / "truth"
    (truth / "imgs").mkdir()
    (truth / "gts").mkdir()
    (truth / "a.npz").rename(truth / "imgs" / "a.npz")
    np.savez_compressed(truth / "gts" / "a.npz", gts=gts)
    assert numbers(command, capsys) == wanted
    one = ["score", "--as", "cvpr25-text", str(truth / "imgs" / "a.npz"), str(tmp_path / "answers" / "a.npz")]
    assert numbers(one, capsys) == wanted


def test_cases_without_an_answer_are_named_and_don_t_count(tmp_path: Path, capsys: Told) -> None:
    gts = ball((9, 20, 20), (4, 10, 10), 4).astype(np.uint8)
    command = case(tmp_path, gts, gts)
    case(tmp_path, gts, gts, "b")
    (tmp_path / "answers" / "b.npz").unlink()
    assert run([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert "not counted, for want of an answer (1): b" in told.err
    assert json.loads(told.out)["unanswered"] == ["b"]
    assert [one["case"] for one in json.loads(told.out)["cases"]] == ["a"]


def test_the_table_is_the_official_one(tmp_path: Path, capsys: Told) -> None:
    gts = ball((9, 20, 20), (4, 10, 10), 4).astype(np.uint8)
    command = case(tmp_path, gts, gts)
    assert run([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["CaseName", "RunningTime", "DSC", "NSD", "F1", "DSC_TP"]
    assert list(rows[0].values()) == ["a.npz", "", "1.0", "1.0", "", ""]
    assert run(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["mean", "1.0000", "1.0000", "-", "-"]


GTS = ball((5, 9, 9), (2, 4, 4), 2).astype(np.uint8)
BAD: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "no gts": (lambda: {"gts": None}, "lacks `gts`"),
    "no segs": (lambda: {"segs": None}, "lacks `segs`"),
    "no spacing": (lambda: {"spacing": None}, "lacks `spacing`"),
    "no prompts": (lambda: {"text_prompts": None}, "lacks `text_prompts`"),
    "no instance label": (lambda: {"text_prompts": objects({"1": "liver"})}, "lack `instance_label`"),
    "odd instance label": (lambda: {"text_prompts": objects({"1": "x", "instance_label": 2})}, "is 2: give 0 or 1"),
    "nothing asked": (lambda: {"text_prompts": objects({"instance_label": 0})}, "ask for nothing"),
    "no sentence": (lambda: {"text_prompts": objects({"1": 3, "instance_label": 0})}, "has no sentence"),
    "a word as label": (lambda: {"text_prompts": objects({"a": "x", "instance_label": 0})}, "the label 'a'"),
    "label 256": (lambda: {"text_prompts": objects({"256": "x", "instance_label": 0})}, "the label '256'"),
    "a list": (lambda: {"text_prompts": np.array(["a"])}, "lack `instance_label`"),
    "another shape": (lambda: {"segs": GTS[1:]}, "has the shape (4, 9, 9), its truth (5, 9, 9)"),
    "flat": (lambda: {"gts": GTS[2], "segs": GTS[2]}, "has 2 axes"),
    "labels beyond": (lambda: {"segs": GTS.astype(np.int32) * 256}, "labels from 0 to 256"),
    "labels beyond in the truth": (lambda: {"gts": GTS.astype(np.int32) * 300}, "labels from 0 to 300"),
    "labels below": (lambda: {"segs": GTS.astype(np.int8) * -1}, "labels from -1 to 0"),
    "half a label": (lambda: {"segs": GTS * 0.5}, "no whole numbers"),
    "no number": (lambda: {"segs": np.where(GTS, np.nan, 0)}, "no whole numbers"),
    "empty truth": (lambda: {"gts": GTS * 0}, "is empty"),
    "NaN spacing": (lambda: {"spacing": np.array([1, np.nan, 1])}, "The spacing of"),
    "zero spacing": (lambda: {"spacing": np.array([1.0, 1, 0])}, "The spacing of"),
    "two spacings": (lambda: {"spacing": np.array([1.0, 1])}, "The spacing of"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_case_is_one_sentence_and_no_score(what: str, tmp_path: Path, capsys: Told) -> None:
    made, said = BAD[what]
    command = case(tmp_path, **{"gts": GTS, "segs": GTS, **made()})
    assert run([*command, "--json"]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("inside", ["alone", "sentence", "phrasing", "switch", "key"])
def test_a_bomb_in_the_prompts_does_not_go_off(inside: str, tmp_path: Path, capsys: Told) -> None:
    bomb = Bomb(tmp_path / "ran")
    told = {
        "alone": bomb,
        "sentence": {"1": bomb, "instance_label": 0},
        "phrasing": {"1": ["liver", bomb], "instance_label": 0},
        "switch": {"1": "liver", "instance_label": bomb},
        "key": {"instance_label": 0, bomb: "liver"},
    }[inside]
    command = case(tmp_path, GTS, GTS, text_prompts=objects(told))
    assert run([*command, "--json"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "ran").exists()


def test_folders_that_don_t_fit_are_one_sentence(tmp_path: Path, capsys: Told) -> None:
    command = case(tmp_path, GTS, GTS)
    for options, said in (
        (["score", "--as", "nothing", *command[3:]], "no yardstick 'nothing'"),
        ([*command[:4], str(tmp_path / "gone")], "There is no folder"),
        ([*command[:4], str(tmp_path)], "has the name of a case"),
        ([*command, "--json", "--csv"], "two forms"),
    ):
        assert run(options) == 2
        told = capsys.readouterr().err
        assert said in told
        assert told.count("\n") == 1
