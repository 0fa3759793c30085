"""`boltzformer segment --lessons`: three corrected slices teach the rest, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL

import boltzformer
from boltzformer import Adapted, Engine, LabelMap, io
from boltzformer.cli.cli import run
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.masks.lessons import lessons_of

UNKNOWN = "left atrium"
TAUGHT = ("--lesson-slices", "5,8,11,20", "--lesson-steps", "10", "--model", str(PHANTOM_MODEL), "-p", UNKNOWN)


@pytest.fixture(scope="module")
def made() -> Phantom:
    return phantom(15, (24, 72, 80), (DARK, BRIGHT))


@pytest.fixture(scope="module")
def folder(made: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """image.nii.gz, and right.nii.gz with a ball in slices 4 to 12."""
    found = tmp_path_factory.mktemp("case")
    io.write_volume(made.volume, found / "image.nii.gz")
    io.write(ball(made), found / "right.nii.gz")
    return found


def ball(made: Phantom) -> LabelMap:
    z, y, x = np.ogrid[:24, :72, :80]
    inside = (z - 8) ** 2 + ((y - 30) / 2) ** 2 + ((x - 44) / 2) ** 2 <= 20
    return LabelMap(inside[None].astype(np.uint8), made.volume.grid, {1: UNKNOWN})


def test_in_the_output_the_lessons_stand_as_given_and_python_makes_the_same_bits(
    folder: Path, made: Phantom, engine: Engine, tmp_path: Path
) -> None:
    image, right = folder / "image.nii.gz", folder / "right.nii.gz"
    out = tmp_path / "out.nii.gz"
    assert run(["segment", str(image), "--lessons", str(right), *TAUGHT, "--smallest", "1000", "-o", str(out)]) == 0
    found, true = io.read_labels(out).layers[0], ball(made).layers[0]
    for index in (5, 8, 11, 20):
        assert np.array_equal(found[index], true[index]), index
    told = json.loads((tmp_path / "out.provenance.json").read_text("utf-8"))
    assert told["adapter"]["lessons"] == [5, 8, 11, 20]
    volume = io.read(image)
    lessons = lessons_of(io.read_labels(right), 1, [5, 8, 11, 20], engine.plan(volume))
    *_, last = boltzformer.adapt(engine, volume, UNKNOWN, lessons, steps=10)
    assert isinstance(last, Adapted)
    adapter = last.adapter if last.better else last.adapter.as_parent()
    again = boltzformer.segment(volume, UNKNOWN, model=engine.adapted(adapter))
    assert again.provenance["logits sha256"] == told["logits sha256"]
    assert told["adapter"]["id"] == adapter.id


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lessons", "right.nii.gz"), "--lessons and --lesson-slices go together"),
        (("--lesson-slices", "5"), "--lessons and --lesson-slices go together"),
        (("--lesson-steps", "20"), "--lesson-steps needs --lessons"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "a,b"), "--lesson-slices a,b can't be understood"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "0,1"), "All lessons are empty"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "99"), "no slice 99 to learn from: the image has slices 0"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "8", "--seconds", "0"), "--seconds 0 is no time"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "8", "-p", "liver"), "2 prompts can't learn from one mask"),
        (("--lessons", "right.nii.gz", "--lesson-slices", "8", "--region", "found"), "leave --region out"),
        (("--lessons", "other.nii.gz", "--lesson-slices", "8"), "does not lie on the grid of its image"),
        (("--lessons", "dot.nii.gz", "--lesson-slices", "8"), "slice 8 marks 1 pixel"),
        (("--lessons", "nowhere.nii.gz", "--lesson-slices", "8"), "nowhere.nii.gz does not exist"),
    ],
)
def test_lessons_that_can_not_teach_are_refused_and_nothing_is_written(
    options: tuple[str, ...],
    said: str,
    folder: Path,
    made: Phantom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shift = boltzformer.Grid(made.volume.grid.shape, made.volume.grid.axes, (9.0, 0.0, 0.0))
    io.write(LabelMap(ball(made).layers, shift, {1: UNKNOWN}), folder / "other.nii.gz", overwrite=True)
    dot = np.zeros((1, 24, 72, 80), np.uint8)
    dot[0, 8, 30, 40] = 1
    io.write(LabelMap(dot, made.volume.grid, {1: UNKNOWN}), folder / "dot.nii.gz", overwrite=True)
    monkeypatch.chdir(folder)
    out = tmp_path / "out.nii.gz"
    model = ("--model", str(PHANTOM_MODEL), "-p", UNKNOWN)
    assert run(["segment", "image.nii.gz", *options, *model, "-o", str(out)]) != 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_mask_that_was_learnt_is_not_reproduced_without_its_lessons(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    story = tmp_path / "told.json"
    story.write_text(json.dumps({"prompts": [UNKNOWN], "adapter": {"lessons": [5, 8], "steps": 31, "seed": 4}}))
    told = ["--reproduce", str(story), "--model", str(PHANTOM_MODEL), "-o", str(tmp_path / "out.nii.gz")]
    assert run(["segment", str(folder / "image.nii.gz"), *told]) == 2
    assert "--lesson-slices 5,8, --lesson-steps 31 and --seed 4" in " ".join(capsys.readouterr().err.split())
