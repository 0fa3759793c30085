"""`boltzformer dataset …`, as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotated import SHAPE, annotate, image

from boltzformer import LabelMap, io
from boltzformer.cli.cli import run
from boltzformer.dataset import Dataset


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three scans with masks, in two folders."""
    for n in range(3):
        given = annotate(image(n), painted=(1, 4))
        (tmp_path / "in/images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in/masks").mkdir(exist_ok=True)
        io.write_volume(given.volume, tmp_path / f"in/images/p{n}.nii.gz")
        io.write(given.labels, tmp_path / f"in/masks/p{n}.nii.gz")
    return tmp_path / "in"


def test_a_dataset_from_a_folder_to_nnunet(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "store")
    assert run(["dataset", "add", place, str(pairs), "--label", "1=lung nodule", "--modality", "CT"]) == 0
    assert capsys.readouterr().out == f"3 taken in; {place} holds 3 cases\n"
    assert run(["dataset", "list", place]) == 0
    told = capsys.readouterr().out
    assert "lung nodule: 2 reviewed, 4 reviewed-empty" in told
    assert "3 cases of 3 patients (2 train, 1 validation)" in told
    assert run(["dataset", "list", place, "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert run(["dataset", "check", place]) == 0
    assert capsys.readouterr().out == "all is well\n"
    assert run(["dataset", "export", place, str(tmp_path / "nnunet")]) == 0
    assert run(["dataset", "export", place, str(tmp_path / "manifest"), "--layout", "manifest"]) == 0
    assert len((tmp_path / "manifest/manifest.jsonl").read_text("utf-8").splitlines()) == 18
    capsys.readouterr()
    for layout in ("nnunet", "manifest"):
        assert run(["dataset", "add", str(tmp_path / f"again-{layout}"), str(tmp_path / layout)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["3", "18"]
    case, *others = entries
    assert run(["dataset", "remove", place, case]) == 0
    assert list(Dataset(place).entries()) == others
    assert run(["dataset", "remove", place, case]) == 2


def test_a_folder_without_masks_is_refused_and_makes_no_dataset(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "store"
    assert run(["dataset", "add", str(place), str(pairs / "images")]) == 2
    assert "holds no pairs" in capsys.readouterr().err
    assert not place.exists()


def test_one_image_with_its_mask_and_patient(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(tmp_path / "store")
    volume = io.read(pairs / "images/p0.nii.gz")
    named = LabelMap(np.ones((1, *SHAPE), np.uint8), volume.grid, {1: "liver"})
    io.write(named, tmp_path / "liver.seg.nrrd")
    arguments = ["--mask", str(tmp_path / "liver.seg.nrrd"), "--patient", "0815", "--split", "validation"]
    assert run(["dataset", "add", place, str(pairs / "images/p0.nii.gz"), *arguments, "--reference", "--json"]) == 0
    [row] = map(json.loads, capsys.readouterr().out.splitlines())
    case = Dataset(place).case(row["case"])
    assert (case.split, case.image_file, list(case.states)) == ("validation", "", ["liver"])
    assert case.mask("liver").all()
    assert "0815" not in "".join(path.read_text("latin-1") for path in case.root.rglob("*") if path.is_file())


def test_what_can_not_be_read_is_named_and_the_exit_code_says_so(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "images/p1.nii.gz").write_bytes(b"\x1f\x8b nothing")
    assert run(["dataset", "add", str(tmp_path / "store"), str(pairs), "--label", "lung nodule"]) == 1
    told = capsys.readouterr()
    assert "p1.nii.gz was left out" in told.err
    assert "2 taken in" in told.out
    assert "1 left out" in told.out


def test_check_repairs_what_it_can(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "store"
    run(["dataset", "add", str(place), str(pairs), "--label", "lung nodule"])
    case = next(iter(Dataset(place).entries()))
    (place / "cases" / case / "revisions/000001/labels.seg.nrrd").write_bytes(b"")
    (place / "index.json").write_bytes(b"{")
    capsys.readouterr()
    assert run(["dataset", "check", str(place), "--json"]) == 1
    assert {row["case"] for row in json.loads(capsys.readouterr().out)} == {"", case}
    assert run(["dataset", "check", str(place), "--repair"]) == 0
    told = capsys.readouterr()
    assert "all is well" in told.out
    assert f"moved to damaged/{case}" in told.err


def test_check_mends_an_index_that_a_kill_left_behind(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "store"
    run(["dataset", "add", str(place), str(pairs), "--label", "lung nodule"])
    whole = (place / "index.json").read_bytes()
    for content in (b"", b'{"cases": {}}', b"[]"):
        (place / "index.json").write_bytes(content)
        capsys.readouterr()
        assert run(["dataset", "check", str(place), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == []
        assert (place / "index.json").read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "nowhere"], "no annotation dataset"),
        (["add", "store", "nowhere"], "no folder and no manifest.jsonl"),
        (["add", "store", ".", "--layout", "coco"], "There is no layout 'coco'"),
        (["add", "store", ".", "--split", "half"], "There is no split 'half'"),
        (["add", "store", ".", "--label", "300=x"], "is not VALUE=NAME"),
        (["export", "nowhere", "out"], "no annotation dataset"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["dataset", *arguments]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # nothing was begun
