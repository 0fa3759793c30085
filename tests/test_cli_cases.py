"""Several images in one call: names, formats, finished cases, bad ones, and a run that is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from image_files import sheared, write_series
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli.cli import run
from boltzformer.io.cases import find_cases, slugs
from boltzformer.io.phantom import BRIGHT, DARK, Phantom, phantom
from boltzformer.io.results import STORY
from boltzformer.masks.objects import pieces
from boltzformer.types import Prompt, Volume


def save(volume: Volume, path: Path) -> Path:
    return io.write_volume(volume, path, overwrite=True)


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "--model", str(PHANTOM_MODEL)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, one of them below, and files that are none."""
    (tmp_path / "in" / "b").mkdir(parents=True)
    save(phantom(1, (4, 40, 40), (BRIGHT,)).volume, tmp_path / "in" / "one.nii.gz")
    save(phantom(2, (4, 40, 40), (DARK,)).volume, tmp_path / "in" / "b" / "two.nrrd")
    (tmp_path / "in" / "notes.txt").write_text("no image")
    return tmp_path / "in"


def test_a_folder_gives_a_case_per_image_in_its_own_format(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(folder, "-p", BRIGHT, "-p", DARK, "-o", out) == 0
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert made == [
        *("one/bright-blob.nii.gz", "one/dark-blob.nii.gz", "one/one.provenance.json"),
        *("two/bright-blob.nrrd", "two/dark-blob.nrrd", "two/two.provenance.json"),
    ]
    assert io.read(out / "two" / "dark-blob.nrrd").grid.same_as(io.read(folder / "b" / "two.nrrd").grid)


def test_results_inside_the_input_folder_are_no_input_the_next_time(folder: Path) -> None:
    assert call(folder, "-p", BRIGHT, "-o", folder / "masks") == 0
    assert [case.name for case in find_cases([folder], folder / "elsewhere")] == ["one", "two"]
    assert call(folder, "-p", BRIGHT, "-o", folder / "masks") == 0
    assert sorted(path.name for path in (folder / "masks").iterdir()) == ["one", "two"]


TOLD = {
    "of a viewer": {
        "masks": {},
        "mask files": {"found.nii.gz": {"1": "a"}},
        "probability maps": {"found.a.probability.nii.gz": {}},
        "object numbers": {"found.a.objects.png": {}},
        "earlier exports": [{"masks": {}, "mask files": {"found.nrrd": {"1": "a"}}}],
    },
    "of a run": {"files": ["found.nii.gz", "found.nrrd", "found.a.probability.nii.gz", "found.a.objects.png"]},
    "of an early version": {"masks": {}},
    "damaged": None,
}


@pytest.mark.parametrize("kind", TOLD)
def test_images_beside_an_export_stay_cases_and_the_export_is_none(folder: Path, kind: str) -> None:
    told = TOLD[kind]
    (folder / f"found{STORY}").write_text("{" if told is None else json.dumps(told), "utf-8")
    names = ["found.nii.gz", "found.nrrd"]
    names += [] if kind in ("of an early version", "damaged") else ["found.a.probability.nii.gz", "found.a.objects.png"]
    for name in names:
        (folder / name).write_bytes(b"a mask")
    assert [case.name for case in find_cases([folder], folder / "out")] == ["one", "two"]


def test_images_of_the_same_name_get_as_much_of_their_path_as_tells_them_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "ct.nii", tmp_path / "b" / "ct.nii", tmp_path / "b" / "ct.nrrd", tmp_path / "c.png"]
    names = [case.name for case in find_cases([*paths, paths[0]], tmp_path / "out")]
    assert len(names) == 4
    assert names[0].endswith("a_ct.nii")
    assert names[3] == "c"
    assert len({name.casefold() for name in names}) == 4


def test_prompts_that_spell_the_same_file_name_get_different_ones() -> None:
    assert slugs([Prompt("a b"), Prompt("A  b!"), Prompt("…")]) == ["a-b", "a-b-2", "mask"]


def test_a_finished_case_is_skipped_and_another_way_is_refused(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(small_file, "-p", BRIGHT, "-o", out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    capsys.readouterr()
    assert call(small_file, "-p", BRIGHT, "-o", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["event"] == "skipped"
    assert call(small_file, "-p", BRIGHT, "-o", out, "--seed", 1) == 2
    assert "seed 0 instead of 1" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert call(small_file, "-p", DARK, "-o", out, "--seed", 1, "--overwrite") == 0
    assert sorted(path.name for path in (out / "small").iterdir()) == ["dark-blob.nii.gz", "small.provenance.json"]
    (out / "small" / "dark-blob.nii.gz").unlink()  # a mask that got lost is made again
    assert call(small_file, "-p", DARK, "-o", out, "--seed", 1) == 0
    assert (out / "small" / "dark-blob.nii.gz").is_file()


def test_a_changed_image_is_another_case(tmp_path: Path) -> None:
    image = save(phantom(1, (4, 40, 40), (BRIGHT,)).volume, tmp_path / "x.nii.gz")
    assert call(image, "-p", BRIGHT, "-o", tmp_path / "out") == 0
    save(phantom(2, (4, 40, 40), (BRIGHT,)).volume, image)
    assert call(image, "-p", BRIGHT, "-o", tmp_path / "out") == 2


def test_a_bad_case_is_told_at_the_end_and_stops_no_other(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a-broken.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes()[:500])
    (folder / "zero.png").touch()
    assert call(folder, tmp_path / "nowhere.nii", "-p", BRIGHT, "-o", tmp_path / "out") == 3
    said = capsys.readouterr().err.splitlines()
    at = next(n for n, line in enumerate(said) if line.startswith("3 of 5 images failed:"))
    assert [line.strip().split(":")[0] for line in said[at + 1 :]] == ["a-broken", "zero", "nowhere"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]


def test_formats_and_everything_else_that_can_be_written(small_file: Path, tmp_path: Path) -> None:
    extras = ["--lesions", "--probabilities", "--sampling-maps"]
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path, "--format", "seg.nrrd", *extras) == 0
    names = sorted(path.name for path in (tmp_path / "small").iterdir())
    looks = next(name for name in names if ".looks-" in name)
    assert names == sorted(
        [
            *("bright-blob.seg.nrrd", looks, "bright-blob.probability.nii.gz"),
            *("small.lesions.csv", "small.lesions.json", "small.provenance.json"),
        ]
    )
    mask = io.read_labels(tmp_path / "small" / "bright-blob.seg.nrrd").mask(1)
    probability = io.read(tmp_path / "small" / "bright-blob.probability.nii.gz").array
    assert probability.dtype == np.float32
    assert (probability[mask] >= 0.499).all()
    rows = json.loads((tmp_path / "small" / "small.lesions.json").read_text("utf-8"))
    assert sum(row["voxels"] for row in rows) == mask.sum()
    notes = json.loads((tmp_path / "small" / "small.provenance.json").read_text("utf-8"))
    assert notes["files"] == [name for name in names if name != "small.provenance.json"]


def test_the_gate_and_the_threshold_are_the_users(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {}
    for name, how in {"plain": [], "sure": ["--threshold", "0.9"], "gated": ["--existence", "1"]}.items():
        assert call(small_file, "-p", BRIGHT, "-o", tmp_path / f"{name}.nii.gz", *how) == 0
        counts[name] = int((io.read(tmp_path / f"{name}.nii.gz").array > 0).sum())
    assert 0 == counts["gated"] < counts["sure"] < counts["plain"]
    assert "nothing was found; the mask is empty" in capsys.readouterr().err


def test_masks_are_tidied_only_when_asked(small_file: Path, tmp_path: Path) -> None:
    both = ["-p", BRIGHT, "-p", "bright  Blob"]
    tidy = ["--suppress", "--largest", 1, "--smooth", 3]
    for name, how in {"plain": [], "tidy": tidy}.items():
        assert call(small_file, *both, "-o", tmp_path / f"{name}.seg.nrrd", *how) == 0
    plain, tidied = (io.read_labels(tmp_path / f"{name}.seg.nrrd") for name in ("plain", "tidy"))
    assert all(plain.mask(label).any() for label in (1, 2))
    assert sum(bool(tidied.mask(label).any()) for label in (1, 2)) == 1
    labels = next(tidied.mask(label) for label in (1, 2) if tidied.mask(label).any())
    assert pieces(labels).max() == 1


def test_only_the_asked_slices_are_looked_at(small_file: Path, tmp_path: Path) -> None:
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "m.nii.gz", "--slices", "6:10", "--existence", 0) == 0
    found = np.flatnonzero(io.read(tmp_path / "m.nii.gz").array.any(axis=(1, 2)))
    assert set(found) <= {6, 7, 8, 9}
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "n.nii.gz", "--slices", "6:17") == 2


def test_a_run_can_be_reproduced_from_its_provenance(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--seed", 4, "--window", "600/300", "--smallest", 20, "--suppress"]
    assert call(small_file, "-p", BRIGHT, "-p", DARK, "-o", tmp_path / "a", *how) == 0
    story = tmp_path / "a" / "small" / f"small{STORY}"
    assert call(small_file, "--reproduce", story, "-o", tmp_path / "b") == 0
    said = capsys.readouterr().err
    assert "reproduced: the same answers, bit for bit" in said
    assert "So was the result made that is repeated" in said
    assert "asked for" not in said  # nobody named a device
    for name in ("bright-blob.nii.gz", "dark-blob.nii.gz"):
        a, b = (io.read(tmp_path / place / "small" / name).array for place in ("a", "b"))
        assert np.array_equal(a, b)
    told = json.loads(story.read_text("utf-8"))
    told["logits sha256"], told["software"] = "0" * 64, "napari-boltzformer 0.0.1"
    story.write_text(json.dumps(told), "utf-8")
    assert call(small_file, "--reproduce", story, "-o", tmp_path / "c") == 1
    said = capsys.readouterr().err
    assert "software: napari-boltzformer 0.0.1 then" in said
    assert "NOT reproduced bit for bit" in said
    other = save(phantom(3, (4, 40, 40), (BRIGHT,)).volume, tmp_path / "other.nii.gz")
    assert call(other, "--reproduce", story, "-o", tmp_path / "d") == 2
    assert "The image differs" in capsys.readouterr().err


def test_what_a_viewer_exported_can_be_reproduced_too(
    small: Phantom, small_file: Path, engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, prediction = engine.segment(io.read(small_file), [BRIGHT], seed=2)
    io.write(prediction.labels(), tmp_path / "m.nii.gz", provenance=prediction.provenance)
    assert call(small_file, "--reproduce", tmp_path / f"m{STORY}", "-o", tmp_path / "again.nii.gz") == 0
    assert "the same answers, bit for bit" in capsys.readouterr().err
    assert np.array_equal(io.read(tmp_path / "again.nii.gz").array, io.read(tmp_path / "m.nii.gz").array)


def test_a_region_is_looked_at_enlarged_and_nothing_is_marked_outside_it(
    made: Phantom, made_file: Path, tmp_path: Path
) -> None:
    lesion = made.lesions[0]
    i, j, k = lesion.centre
    # a square, as the model sees it, and not much enlarged, for the tiny model knows one size only
    low = min(max(i - 34, 0), 27), min(max(j - 34, 0), 27), k - 3
    high = low[0] + 68, low[1] + 68, k + 3
    box = ":".join(",".join(map(str, corner)) for corner in (low, high))
    assert call(made_file, "-p", lesion.kind, "-o", tmp_path / "a.nii.gz", "--region", box) == 0
    mask = io.read(tmp_path / "a.nii.gz").array > 0
    found = np.argwhere(mask)[:, ::-1]
    assert (found >= low).all()
    assert (found <= high).all()
    assert mask[k, j, i]
    world = ":".join(",".join(f"{mm:g}" for mm in made.volume.grid.world(corner)) for corner in (low, high))
    assert call(made_file, "-p", lesion.kind, "-o", tmp_path / "b.nii.gz", "--region", world, "--mm") == 0
    assert np.array_equal(io.read(tmp_path / "b.nii.gz").array > 0, mask)
    out = tmp_path / "c"
    how = ["--region", "found", "--sampling-maps", "--slices", f"{k}:{k + 1}"]
    assert call(made_file, "-p", lesion.kind, "-o", out, *how) == 0
    assert json.loads((out / "phantom" / f"phantom{STORY}").read_text("utf-8"))["region"] is not None
    story = out / "phantom" / f"phantom{STORY}"
    assert call(made_file, "--reproduce", story, "-o", tmp_path / "d") == 0


def test_several_samples_tell_where_they_disagree(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how = ["--samples", 3, "--probabilities", "--slices", "4:9"]
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path, *how) == 0
    spread = io.read(tmp_path / "small" / "bright-blob.spread.nii.gz").array
    assert 0 < spread.max() <= 0.5
    assert not spread[:4].any()
    assert "the seeds disagree most in slices" in capsys.readouterr().err


def test_dicom_folders_become_dicom_segs_and_a_prompt_for_another_modality_is_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = phantom(5, (6, 48, 48), (BRIGHT,))
    for patient in ("anna", "bert"):
        write_series(tmp_path / "in" / patient / "ct", made.volume.array, made.volume.grid)
    assert call(tmp_path / "in", "-p", BRIGHT, "-p", "MS lesion in brain MRI", "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "note: anna_ct: 'MS lesion in brain MRI' speaks of MR, but the image is CT." in said
    assert "MS lesion in brain MRI: nothing was found; the mask is empty." in said
    for case in ("anna_ct", "bert_ct"):
        names = {path.name for path in (tmp_path / "out" / case).iterdir()}
        assert names == {"bright-blob.dcm", "ms-lesion-in-brain-mri.dcm", f"{case}{STORY}"}
        assert io.read_labels(tmp_path / "out" / case / "bright-blob.dcm", grid=made.volume.grid).names


def test_what_lies_in_no_space_of_a_patient_is_said_before_the_work_and_gets_a_format_that_holds_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = phantom(5, (1, 48, 48), (BRIGHT,))
    flat = dict.fromkeys(["ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"])
    (path,) = write_series(tmp_path / "x", made.volume.array, made.volume.grid, Modality="DX", **flat)
    assert call(path, "-p", BRIGHT, "-o", tmp_path / "out") == 0
    said = capsys.readouterr().err
    words = "the image does not say where in its patient it lies: masks become .nii.gz."
    assert words in said
    assert said.index(words) < said.index("voxels")
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 1
    for how in (("-o", tmp_path / "mask.dcm"), ("-o", tmp_path / "more", "--format", "dcm-seg")):
        assert call(path, "-p", BRIGHT, *how) != 0
        said = capsys.readouterr().err
        assert f"can't refer to {path}, which does not say where in its patient it lies" in said
        assert "slice" not in said
    assert not (tmp_path / "mask.dcm").exists()


def test_a_killed_run_leaves_whole_cases_only_and_the_same_command_finishes_them(tmp_path: Path) -> None:
    for seed in range(12):
        save(phantom(seed, (8, 48, 48), (BRIGHT,)).volume, tmp_path / f"case{seed:02}.nii.gz")
    command = ["-m", "boltzformer", "segment", str(tmp_path), "-p", BRIGHT, "-o", str(tmp_path / "out"), "--lesions"]
    command += ["--model", str(PHANTOM_MODEL)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen([sys.executable, *command, "--json"], stdout=subprocess.PIPE, env=environment, text=True)
    assert running.stdout is not None
    finished = 0
    for line in running.stdout:
        event = json.loads(line)
        finished += event["event"] == "finished"
        if finished == 3 and event["event"] == "slice":  # in the middle of the fourth
            break
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stdout.close()
    whole = {"bright-blob.nii.gz"}
    there = [path for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")]
    assert 3 <= len(there) < 12
    for case in there:
        names = {path.name for path in case.iterdir()}
        assert names == whole | {f"{case.name}{end}" for end in (".lesions.csv", ".lesions.json", STORY)}
    untouched = {case.name: (case / "bright-blob.nii.gz").stat().st_mtime_ns for case in there}
    assert run(command[2:]) == 0
    after = list((tmp_path / "out").iterdir())
    assert len(after) == 12
    assert all((case / "bright-blob.nii.gz").is_file() for case in after)
    assert all((tmp_path / "out" / n / "bright-blob.nii.gz").stat().st_mtime_ns == t for n, t in untouched.items())


def test_what_a_killed_write_left_is_cleared_away(small_file: Path, tmp_path: Path) -> None:
    left = tmp_path / "out" / ".small.part"
    left.mkdir(parents=True)
    (left / "bright-blob.nii.gz").write_bytes(b"half")
    began = time.time()
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"]
    assert (tmp_path / "out" / "small" / "bright-blob.nii.gz").stat().st_mtime >= began - 1


def test_a_tilted_series_asks_before_the_work_and_is_straightened_where_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "ct", phantom(5, (4, 40, 40), (BRIGHT,)).volume.array, sheared((4, 40, 40)))
    tilted = io.read(tmp_path / "ct").grid
    common = [tmp_path / "ct", "-p", BRIGHT, "--slices", "1"]
    assert call(*common, "-o", tmp_path / "kept") == 0
    said = capsys.readouterr().err
    assert said.count("--resample") == 1
    assert said.index("bright-blob.dcm keeps the tilt of the slices") < said.index("Model")
    assert io.read_labels(tmp_path / "kept" / "ct" / "bright-blob.dcm", grid=tilted).names
    for kind, name in (("dcm-seg", "bright-blob.dcm"), ("dcm-labelmap", "bright-blob.labelmap.dcm")):
        assert call(*common, "-o", tmp_path / kind, "--resample", "--format", kind) == 0
        assert "keeps the tilt" not in capsys.readouterr().err
        assert io.read_labels(tmp_path / kind / "ct" / name, grid=io.straightened(tilted)).names
    assert call(*common, "-o", tmp_path / "rt", "--resample", "--format", "dcm-rtstruct") == 2
    assert "leave --resample out" in capsys.readouterr().err
    assert not (tmp_path / "rt").exists()
