"""`boltzformer evaluate --as`: a model answers in the layouts of the field, and is scored by their rules."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL
from PIL import Image

import boltzformer
from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.evaluate.yardsticks.asking import as_objects, merged
from boltzformer.evaluate.yardsticks.cvpr25_interactive import next_click
from boltzformer.io.findings import read_findings, write_findings
from boltzformer.io.npz import names_in, read_array, write_npz
from boltzformer.io.phantom import Phantom, phantom

Told = pytest.CaptureFixture[str]
CONTAINER = Path(__file__).parents[2] / "containers"
MODEL = ["--model", str(PHANTOM_MODEL)]


@pytest.fixture(scope="module")
def blobs() -> Phantom:
    return phantom(11, (16, 64, 64))


def shown(made: Phantom) -> np.ndarray:
    array = made.volume.array.astype(float)
    return np.clip(array / array.max() * 255, 0, 255).astype(np.uint8)


def case(folder: Path, made: Phantom, **more: Any) -> Path:
    """A phantom as the CVPR challenges store a case."""
    folder.mkdir(exist_ok=True)
    gts = made.labels.mask(1) * np.uint8(1) + made.labels.mask(2) * np.uint8(2)
    given = {"imgs": shown(made), "gts": gts, "spacing": np.array(made.volume.grid.spacing_mm), **more}
    return write_npz(folder / "a.npz", **{name: value for name, value in given.items() if value is not None})


def asked(made: Phantom, instances: int = 0) -> dict[str, Any]:
    return {str(label): [made.labels.names[label]] for label in (1, 2)} | {"instance_label": instances}


def test_sentences_are_answered_and_scored_like_finished_masks(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    case(tmp_path / "data", blobs, text_prompts=asked(blobs))
    command = ["--as", "cvpr25-text", str(tmp_path / "data")]
    assert run(["evaluate", *command, "-o", str(tmp_path / "out"), *MODEL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cases"][0]["seconds"] > 0
    assert found["mean"]["DSC"] > 0.1  # the phantom model knows blobs
    assert run(["score", *command, str(tmp_path / "out"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["mean"] == found["mean"]
    (row,) = csv.DictReader((tmp_path / "out" / "scores.csv").read_text("utf-8").splitlines())
    assert float(row["RunningTime"]) == found["cases"][0]["seconds"]
    assert json.loads((tmp_path / "out" / "scores.json").read_text("utf-8"))["yardstick"] == "cvpr25-text"
    assert not list(tmp_path.glob("out/.*"))


def test_the_answer_is_that_of_a_user_who_typed_the_sentences(blobs: Phantom, tmp_path: Path) -> None:
    case(tmp_path / "data", blobs, text_prompts=asked(blobs))
    assert run(["evaluate", "--as", "cvpr25-text", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *MODEL]) == 0
    segs = read_array(tmp_path / "out" / "a.npz", "segs")
    volume = boltzformer.Volume(shown(blobs), blobs.volume.grid)
    texts = [blobs.labels.names[label] for label in (1, 2)]
    labels = boltzformer.segment(volume, texts, model=str(PHANTOM_MODEL)).labels()
    one, two = labels.mask(1), labels.mask(2)
    assert segs.dtype == np.uint8
    assert np.array_equal(segs > 0, one | two)
    assert np.array_equal((segs == 1) & ~two, one & ~two)
    assert np.array_equal((segs == 2) & ~one, two & ~one)


def test_where_two_prompts_claim_a_voxel_the_surer_has_it(blobs: Phantom) -> None:
    volume = boltzformer.Volume(shown(blobs), blobs.volume.grid)
    prediction = boltzformer.segment(volume, ["bright blob", "dark blob"], model=str(PHANTOM_MODEL))
    flat = merged(prediction, ["bright blob", "dark blob", "bright blob"], [3, 5, 7])
    mask = prediction.labels().mask(1)
    assert 7 not in flat  # equally sure: the first
    assert set(np.unique(flat[mask])) <= {3, 5}


def test_objects_get_numbers_of_their_own_the_largest_first() -> None:
    mask = np.zeros((1, 40, 40), bool)
    mask[0, ::2, ::2] = True
    mask[0, 20:24, 20:24] = True
    found = as_objects(mask)
    assert found[0, 21, 21] == 1
    assert len(np.unique(found)) == 256  # 0, and 255 of 397
    assert as_objects(mask & False).max() == 0


def test_instances_are_answered_with_a_number_for_each(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    told = {"1": "bright blob", "instance_label": 1}
    case(tmp_path / "data", blobs, text_prompts=told)
    command = ["evaluate", "--as", "cvpr25-text", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *MODEL, "--json"]
    assert run(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean"]["F1"] is not None
    segs = read_array(tmp_path / "out" / "a.npz", "segs")
    assert sorted(set(np.unique(segs)) - {0}) == list(range(1, int(segs.max()) + 1))


def boxes(made: Phantom) -> list[dict[str, int]]:
    found = []
    for label in (1, 2):
        z, y, x = (np.flatnonzero(made.labels.mask(label).any(axes)) for axes in ((1, 2), (0, 2), (0, 1)))
        ends = {"z_min": z[0], "z_max": z[-1], "z_mid": z[len(z) // 2], "z_mid_x_min": x[0], "z_mid_x_max": x[-1]}
        found.append({k: int(v) for k, v in {**ends, "z_mid_y_min": y[0], "z_mid_y_max": y[-1]}.items()})
    return found


def test_a_box_and_five_clicks_are_answered_in_rounds(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    path = case(tmp_path / "data", blobs, boxes=boxes(blobs), text_prompts=asked(blobs))
    command = ["--as", "cvpr25-interactive", str(tmp_path / "data")]
    assert run(["evaluate", *command, "-o", str(tmp_path / "out"), *MODEL, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["cases"]
    rounds = read_array(tmp_path / "out" / "a.npz", "all_segs")
    assert len(rounds) == 6
    assert np.array_equal(rounds[-1], read_array(tmp_path / "out" / "a.npz", "segs"))
    assert one["DSC_Final"] == one["DSC_6"]
    assert one["DSC_AUC"] == pytest.approx(
        sum((one[f"DSC_{k}"] + one[f"DSC_{k + 1}"]) / 2 for k in range(2, 6)), abs=5e-4
    )
    gts = read_array(path, "gts")
    first, second = next_click(gts == 1, rounds[0] == 1), next_click(gts == 2, rounds[0] == 2)
    for label, click in ((1, first), (2, second)):
        assert click is not None
        place, here = click
        assert (rounds[1][place] == label) == here  # the answer heeds the click


def test_without_truth_one_round_is_answered_and_nothing_scored(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    middle = tuple(int(v) for v in np.argwhere(blobs.labels.mask(1))[len(np.argwhere(blobs.labels.mask(1))) // 2])
    clicks = [{"fg": [list(middle)], "bg": []}]
    case(tmp_path / "data", blobs, gts=None, clicks=clicks)
    command = ["evaluate", "--as", "cvpr25-interactive", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *MODEL]
    assert run(command) == 0
    assert "no truth to score them with" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.npz"]
    segs = read_array(tmp_path / "out" / "a.npz", "segs")
    assert segs[middle] == 1


@pytest.mark.skipif(os.name == "nt", reason="the container's script is for a POSIX shell")
def test_the_container_answers_what_lies_in_its_inputs_and_looks_at_no_truth(blobs: Phantom, tmp_path: Path) -> None:
    case(tmp_path / "inputs", blobs, boxes=boxes(blobs), text_prompts=asked(blobs))
    (tmp_path / "outputs").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    found = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    told = {"INPUTS": str(tmp_path / "inputs"), "OUTPUTS": str(tmp_path / "outputs"), "MODEL": str(PHANTOM_MODEL)}
    for yardstick in ("cvpr25-text", "cvpr25-interactive"):
        environment = {**os.environ, **found, **told, "YARDSTICK": yardstick}
        subprocess.run(["sh", str(CONTAINER / "predict.sh")], env=environment, check=True)
        assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["a.npz"]
        assert names_in(tmp_path / "outputs" / "a.npz") == {"segs"}
        assert read_array(tmp_path / "outputs" / "a.npz", "segs").any()


def test_the_recipe_copies_only_what_is_there() -> None:
    recipe = (CONTAINER / "Dockerfile").read_text("utf-8")
    copied = [name for line in recipe.splitlines() if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    assert all((CONTAINER.parent / name).exists() for name in copied)


def test_sentences_of_a_report_are_answered_finding_by_finding(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    data = tmp_path / "data"
    for place in ("images", "segmentations"):
        (data / place).mkdir(parents=True)
    io.write_volume(blobs.volume, data / "images" / "scan.nii.gz")
    masks = np.stack([blobs.labels.mask(2), blobs.labels.mask(1)]).astype(np.uint8)
    write_findings(data / "segmentations" / "scan.nii.gz", masks, blobs.volume.grid)
    entry = {"name": "scan.nii.gz", "findings": {"0": "dark blob", "1": "bright blob"}}
    (data / "dataset.json").write_text(json.dumps({"val": [entry]}))
    assert run(["evaluate", "--as", "rex", str(data), "-o", str(tmp_path / "out"), *MODEL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["case"] for one in found["cases"]] == ["scan.nii.gz/0", "scan.nii.gz/1"]
    assert found["cases"][1]["Dice"] > 0.1
    labels = boltzformer.segment(blobs.volume, ["dark blob", "bright blob"], model=str(PHANTOM_MODEL)).labels()
    answer = read_findings(tmp_path / "out" / "scan.nii.gz")
    assert np.array_equal(answer[0] > 0, labels.mask(1))
    assert np.array_equal(answer[1] > 0, labels.mask(2))


def test_pictures_are_answered_mask_by_mask(blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    data = tmp_path / "data"
    for place in ("test", "test_mask"):
        (data / place).mkdir(parents=True)
    index = int(blobs.labels.mask(1).sum((1, 2)).argmax())
    Image.fromarray(shown(blobs)[index]).save(data / "test" / "p1_CT_phantom.png")
    for label, name in ((1, "bright+blob"), (2, "dark+blob")):
        mask = blobs.labels.mask(label)[index].astype(np.uint8) * 255
        Image.fromarray(mask).save(data / "test_mask" / f"p1_CT_phantom_{name}.png")
    assert run(["evaluate", "--as", "biomedparse", str(data), "-o", str(tmp_path / "out"), *MODEL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["case"] for one in found["cases"]] == ["p1_CT_phantom_bright+blob", "p1_CT_phantom_dark+blob"]
    assert all(one["seconds"] > 0 for one in found["cases"])
    prompt, picture = "bright blob in phantom CT", data / "test" / "p1_CT_phantom.png"
    assert run(["segment", str(picture), "-p", prompt, *MODEL, "-o", str(tmp_path / "alone.png")]) == 0
    alone = np.asarray(Image.open(tmp_path / "alone.png"))
    answer = np.asarray(Image.open(tmp_path / "out" / "p1_CT_phantom_bright+blob.png"))
    assert np.array_equal(alone > 0, answer > 0)


BAD: dict[str, tuple[Callable[[Phantom], dict[str, Any]], list[str], str]] = {
    "no image": (lambda made: {"imgs": None, "text_prompts": asked(made)}, ["cvpr25-text"], "lacks `imgs`"),
    "no prompts": (lambda made: {}, ["cvpr25-text"], "lacks `text_prompts`"),
    "a box outside": (
        lambda made: {"boxes": [{**boxes(made)[0], "z_max": 99}]},
        ["cvpr25-interactive"],
        "does not lie in its image",
    ),
    "a box of words": (lambda made: {"boxes": [{"z_min": "1"}]}, ["cvpr25-interactive"], "A box of"),
    "a click outside": (
        lambda made: {"clicks": [{"fg": [[0, 0, -1]], "bg": []}]},
        ["cvpr25-interactive"],
        "A click of",
    ),
    "a click of words": (lambda made: {"clicks": [{"fg": "abc"}]}, ["cvpr25-interactive"], "A click of"),
    "no yardstick": (lambda made: {}, ["nothing"], "no yardstick 'nothing'"),
    "a split": (lambda made: {}, ["cvpr25-text", "--licensed"], "belong to manifests"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_data_are_one_sentence_before_any_answer(what: str, blobs: Phantom, tmp_path: Path, capsys: Told) -> None:
    more, options, said = BAD[what]
    case(tmp_path / "data", blobs, **more(blobs))
    assert run(["evaluate", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *MODEL, "--as", *options]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()
