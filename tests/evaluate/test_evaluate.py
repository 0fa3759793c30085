"""`boltzformer evaluate`, from the command line to its files, on manifests made here and on the shared data."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from PIL import Image
from processes import ended

from boltzformer import Volume, io, load
from boltzformer.cli.cli import run
from boltzformer.evaluate.evaluate import answers_of, cut, evaluate
from boltzformer.evaluate.metrics import dice
from boltzformer.image.geometry import Grid
from boltzformer.io.phantom import Phantom
from boltzformer.knowledge.absent import Listed
from boltzformer.knowledge.card import Card
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.types import LabelMap
from boltzformer.weights import checkpoint, registry

SHARED = Path(__file__).parents[2] / "../shared/data"


def picture(folder: Path, name: str, made: Phantom, index: int, label: int) -> dict[str, Any]:
    """A slice of the phantom as PNG with its mask, and their row."""
    image, mask = made.volume.array[index], made.labels.mask(label)[index]
    shown = np.clip(image.astype(float) / image.max() * 255, 0, 255).astype(np.uint8)
    Image.fromarray(shown).save(folder / f"{name}.png")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}-{label}.png")
    kind = made.labels.names[label]
    return {
        "image": f"{name}.png",
        "mask": f"{name}-{label}.png",
        "target": kind,
        "prompts": [kind, f"a {kind}", f"the {kind}"],
        "group_id": name,
        "modality": "CT",
        "source": "phantoms",
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def data(made: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of pictures, an absent prompt, a centred crop, and a volume of labels."""
    folder = tmp_path_factory.mktemp("data")
    bright, dark = 1, 2
    at = {label: int(made.labels.mask(label).sum((1, 2)).argmax()) for label in (bright, dark)}
    rows = [
        picture(folder, "one", made, at[bright], bright),
        picture(folder, "two", made, at[dark], dark),
        {**picture(folder, "three", made, at[bright], bright), "crop": "nodule-centred 128x128"},
        {**picture(folder, "one", made, at[bright], bright), "mask": None, "target": "polyp", "prompts": ["polyp"]},
        {**picture(folder, "four", made, 0, dark), "commercial_use": "licence_allows"},  # its mask is empty
    ]
    io.write_volume(made.volume, folder / "volume.nii.gz")
    io.write(made.labels, folder / "labels.nii.gz")
    volume = {"image": "volume.nii.gz", "mask": "labels.nii.gz", "label": dark, "target": made.labels.names[dark]}
    rows.append({**volume, "prompts": [made.labels.names[dark]], "group_id": "volume"})
    return write(folder / "manifest.jsonl", rows)


@pytest.fixture(scope="module")
def result(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("result")
    told = ["--model", str(PHANTOM_MODEL), "--save-masks", "--min-masks", "1"]
    assert run(["evaluate", str(data), "-o", str(output), *told]) == 0
    return output


def test_each_row_has_its_line_in_the_order_of_the_manifest(result: Path) -> None:
    rows = lines(result / "predictions.jsonl")
    assert [row["row"] for row in rows] == list(range(6))
    assert all(set(row) == {"row", "prompt", "existence", "dice", "area", "saved"} for row in rows)
    assert all((row["dice"] is None) == (row["area"] == 0) and row["area"] < 1 for row in rows)
    assert all(0 <= row["existence"] <= 1 for row in rows)
    assert [row["dice"] is None for row in rows] == [False, False, False, True, True, False]


def test_saved_masks_are_those_of_the_command_line_and_give_the_dice(result: Path, data: Path, tmp_path: Path) -> None:
    manifest, rows = read_manifest(data), lines(result / "predictions.jsonl")
    for row in rows[:4]:
        saved = np.asarray(Image.open(result / row["saved"]))
        assert set(np.unique(saved)) <= {0, 255}
        alone = tmp_path / f"{row['row']}.png"
        asked = ["-p", row["prompt"], "--model", str(PHANTOM_MODEL)]
        assert run(["segment", str(manifest[row["row"]].image), *asked, "-o", str(alone)]) == 0
        assert (np.asarray(Image.open(alone)) == saved).all()
        mask = manifest[row["row"]].mask
        if mask is not None:
            assert row["dice"] == pytest.approx(dice(saved > 0, np.asarray(Image.open(mask)) > 0))
    volume = io.read(result / rows[5]["saved"])
    truth = io.read_labels(data.parent / "labels.nii.gz", grid=volume.grid).mask(2)
    assert set(np.unique(volume.array)) <= {0, 255}
    assert rows[5]["dice"] == pytest.approx(dice(volume.array > 0, truth))


def test_what_must_not_count_does_not(result: Path) -> None:
    facts = json.loads((result / "metrics.json").read_text("utf-8"), parse_constant=pytest.fail)  # no NaN anywhere
    rows = lines(result / "predictions.jsonl")
    assert facts["macro"]["n"] == 3
    assert facts["macro"]["targets"] == 2
    two = [rows[0]["dice"], (rows[1]["dice"] + rows[5]["dice"]) / 2]
    assert facts["macro"]["dice"] == pytest.approx(sum(two) / 2)
    assert facts["centred_crops"]["n"] == 1
    assert facts["centred_crops"]["dice"] == pytest.approx(rows[2]["dice"])
    assert facts["empty"]["n"] == 2
    assert facts["empty"]["listed_with_empty_mask"] == 1
    assert facts["existence"]["n_hard"] == 1  # nothing says where polyps are seen
    assert facts["existence"]["auroc_easy"] is None
    assert facts["existence"]["auroc_hard"] is not None
    assert facts["targets"]["dark blob"]["hd95_mm"] is not None
    assert facts["targets"]["bright blob"]["hd95_mm"] is None
    assert facts["other_phrasings"]["asked"] == 3


def test_a_manifest_with_absent_rows_gets_no_drawn_ones(result: Path) -> None:
    assert not (result / "absent.jsonl").exists()


def test_people_get_a_table_and_a_contact_sheet(result: Path) -> None:
    text = (result / "report.txt").read_text("utf-8")
    assert "bright blob" in text
    assert "AUROC" in text
    assert Image.open(result / "contact.png").width > 600
    assert sorted(path.name for path in result.iterdir()) == [
        *("contact.png", "masks", "metrics.json", "predictions.jsonl", "report.txt")
    ]


def test_absent_prompts_are_drawn_from_the_card_and_from_windows(
    data: Path, made: Phantom, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in lines(data) if row["mask"] and row["image"] in ("one.png", "two.png")]
    write(data.parent / "present.jsonl", rows)
    taught = read_manifest(data.parent / "present.jsonl")[0]
    polyps = [
        type(taught)(**{**vars(taught), "target": "polyp", "prompts": ("polyp in endoscopy",), "group": str(n)})
        for n in range(5)
    ]
    polyps = [type(taught)(**{**vars(one), "modality": "endoscopy"}) for one in polyps]
    card = Card.made(polyps, polyps, split="none", run={})
    model, _ = registry.load("default")
    checkpoint.save(tmp_path / "m.safetensors", model, checkpoint.History("m", notes=card.notes()))
    command = ["evaluate", str(data.parent / "present.jsonl"), "--model", str(tmp_path / "m.safetensors")]
    assert run([*command, "-o", str(tmp_path / "out"), "--min-masks", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    drawn = lines(tmp_path / "out" / "absent.jsonl")
    assert len(lines(tmp_path / "out" / "predictions.jsonl")) == 2
    assert [one["target"] for one in drawn if one["absent"] == "easy"] == ["polyp", "polyp"]
    assert len([one for one in drawn if one["absent"] == "hard"]) == 2
    assert facts["macro"]["dice"] is None  # blobs were never taught
    assert facts["never_taught"]["macro"]["n"] == 2
    assert facts["existence"]["n_easy"] == 2
    assert facts["never_taught"]["existence"]["n_hard"] == 2
    assert facts["targets"]["bright blob"]["taught"] is False
    assert run([*command, "-o", str(tmp_path / "again"), "--min-masks", "1", "--json"]) == 0
    assert lines(tmp_path / "again" / "absent.jsonl") == drawn
    for one in drawn:
        if one["window"]:
            x, y, w, h = one["window"]
            mask = next(row["mask"] for row in rows if row["image"] == one["image"])
            assert not np.asarray(Image.open(data.parent / mask))[y : y + h, x : x + w].any()


def test_only_the_needed_fields_are_needed(data: Path, tmp_path: Path) -> None:
    needed = ("image", "mask", "target", "prompts", "group_id")
    rows = [{name: row[name] for name in needed} for row in lines(data)[:2]]
    manifest = write(data.parent / "bare.jsonl", rows)
    assert run(["evaluate", str(manifest), "-o", str(tmp_path / "out")]) == 0
    facts = json.loads((tmp_path / "out" / "metrics.json").read_text("utf-8"))
    assert facts["macro"]["dice"] is None  # no target has five masks
    assert facts["existence"]["auroc_easy"] is None


def test_parts_and_licences_choose_rows_and_keep_their_numbers(data: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"validation_groups": ["two", "four"]}))
    command = ["evaluate", str(data), "--split", str(split), "--part", "validation", "-o"]
    assert run([*command, str(tmp_path / "a")]) == 0
    assert [row["row"] for row in lines(tmp_path / "a" / "predictions.jsonl")] == [1, 4]
    assert run([*command, str(tmp_path / "b"), "--licensed"]) == 0
    assert [row["row"] for row in lines(tmp_path / "b" / "predictions.jsonl")] == [4]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--part", "test"], "no part 'test'"),
        (["--part", "train"], "belong together"),
        (["--min-masks", "0"], "--min-masks 0"),
        (["--licensed", "--split", "SPLIT", "--part", "train"], "No row"),
        (["--model", "nowhere"], "no model at nowhere"),
    ],
)
def test_wrong_options_are_one_sentence(
    options: list[str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"validation_groups": ["four"]}))
    given = [str(tmp_path / "split.json") if one == "SPLIT" else one for one in options]
    assert run(["evaluate", str(data), "-o", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "gone.png"}, "gone.png"),
        ({"mask": "volume.nii.gz"}, "volume.nii.gz"),
        ({"mask": "manifest.jsonl"}, "manifest.jsonl"),
        ({"image": "two-2.png", "mask": "labels.nii.gz"}, "labels.nii.gz"),
    ],
)
def test_bad_rows_are_one_sentence_and_leave_nothing(
    change: dict[str, str], said: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write(data.parent / "bad.jsonl", [lines(data)[0], {**lines(data)[1], **change}])
    assert run(["evaluate", str(manifest), "-o", str(tmp_path / "out")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("boltzformer: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert not list(tmp_path.iterdir())


def test_an_output_that_is_a_file_is_refused_before_any_work(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(data), "-o", str(data)]) == 2
    assert "it is a file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_second_evaluation_replaces_the_first_and_nothing_else(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for seed in ("0", "1"):
        assert run(["evaluate", str(data), "-o", str(tmp_path), "--seed", seed]) == 0
    assert (tmp_path / "mine.txt").read_text("utf-8") == "mine"
    assert json.loads((tmp_path / "metrics.json").read_text("utf-8"))["data"]["seed"] == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_interrupting_keeps_nothing_half_written(data: Path, tmp_path: Path) -> None:
    rows = lines(data)
    manifest = write(data.parent / "long.jsonl", rows * 200)
    command = [sys.executable, "-m", "boltzformer", "evaluate", str(manifest), "-o", str(tmp_path / "out")]
    with ended(subprocess.Popen([*command, "--save-masks"], stderr=subprocess.PIPE)) as process:
        assert process.stderr is not None
        assert b"1200 rows" in process.stderr.readline()  # it has begun
        assert list(tmp_path.glob(".out.*"))
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not list(tmp_path.iterdir())


def test_an_image_is_read_once_for_all_its_prompts_with_the_answers_of_each_alone(data: Path) -> None:
    rows = read_manifest(data)
    answers, asked = answers_of(load("default")), []

    def watched(volume: Volume, questions: Any, index: int | None = None) -> Any:
        asked.append((volume.name, [one.prompt for one in questions]))
        return answers(volume, questions, index)

    scored = list(evaluate(watched, rows[:4], Listed.of(rows)))
    assert [name for name, _ in asked] == ["one", "two", "three"]
    alone = [one for row in rows[:4] for one in evaluate(answers, [row], Listed.of(rows))]
    known = {(one.row.number, one.prompt): (one.existence, one.dice) for one in alone}
    assert {(one.row.number, one.prompt): (one.existence, one.dice) for one in scored} == known


def test_a_window_is_a_picture_of_its_own() -> None:
    array = np.arange(2 * 3 * 4).reshape(1, 4, 6)
    assert cut(Volume(array, Grid.pixels(array.shape)), (2, 1, 3, 2)).array.tolist() == [[[8, 9, 10], [14, 15, 16]]]


def test_an_overlapping_label_of_a_volume_is_read_by_its_number(made: Phantom, tmp_path: Path) -> None:
    layers = np.zeros((1, *made.volume.grid.shape), np.uint8)
    layers[0, 3, 4, 5], layers[0, 6, 7, 8] = 7, 9
    io.write(LabelMap(layers, made.volume.grid, {7: "a", 9: "b"}), tmp_path / "l.nii.gz")
    io.write_volume(made.volume, tmp_path / "v.nii.gz")
    row = {"image": "v.nii.gz", "mask": "l.nii.gz", "target": "b", "prompts": ["b"], "group_id": "g", "label": 9}
    (read,) = read_manifest(write(tmp_path / "m.jsonl", [row]))
    (one,) = evaluate(answers_of(load("default")), [read], Listed.of([read]))
    assert one.area == 1 / made.volume.array.size


@pytest.mark.slow
def test_the_validation_part_of_the_shared_data_is_what_its_readme_says(tmp_path: Path) -> None:
    train = SHARED / "train"
    if not train.is_dir():
        pytest.skip("the shared data are not here")
    command = ["evaluate", str(train / "manifest.jsonl"), "--split", str(train / "split.json"), "--part", "validation"]
    assert run([*command, "--licensed", "--min-masks", "3", "-o", str(tmp_path)]) == 0
    facts = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert len(lines(tmp_path / "predictions.jsonl")) == 481
    assert facts["macro"]["targets"] == 36  # of 37: the card counts those that were taught from five groups or more
    assert facts["macro"]["targets_small"] == 18  # of 19
