"""Where results go: nothing of others is touched, two runs don't meet, and what can't be written is said first."""

import json
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from phantom_model import PHANTOM_MODEL
from PIL import Image

from boltzformer import Engine, io, load
from boltzformer.cli.casework import Casework, run_all
from boltzformer.cli.cli import run
from boltzformer.cli.request import Request
from boltzformer.cli.show import Show
from boltzformer.engine.devices import choose
from boltzformer.errors import ImageError
from boltzformer.io.cases import Target
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.io.placing import alone
from boltzformer.io.results import STORY
from boltzformer.weights import checkpoint


def call(*arguments: object) -> int:
    return run(["segment", *map(str, arguments), "--slices", "3", "--model", str(PHANTOM_MODEL)])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_overwrite_removes_only_names_that_it_writes_itself(small_file: Path, tmp_path: Path, whole: bool) -> None:
    folder = tmp_path / "out" / "small" if whole else tmp_path / "out"
    out = tmp_path / "out" if whole else folder / "small.nii.gz"
    assert call(small_file, "-p", BRIGHT, "-o", out) == 0
    others = {"notes.txt": b"a", "thesis.nii.gz": b"b", "bright-blob.nii.gz.bak": b"c", "small.csv": b"d"}
    for name, content in others.items():
        (folder / name).write_bytes(content)
    (tmp_path / "victim.txt").write_bytes(b"e")
    story = folder / f"small{STORY}"
    told = json.loads(story.read_text("utf-8"))
    told["files"] += [*others, "../victim.txt", "../../victim.txt", str(tmp_path / "victim.txt")]
    for files in (told["files"], told["files"][:-3]):  # with and without paths, of which one spoils all
        story.write_text(json.dumps({**told, "files": files}), "utf-8")
        assert call(small_file, "-p", DARK, "-o", out, "--overwrite") == 0
        assert {name: (folder / name).read_bytes() for name in others} == others
        assert (tmp_path / "victim.txt").read_bytes() == b"e"


def test_a_mask_that_a_person_has_corrected_is_not_removed(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out" / "small"
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--lesions") == 0
    (folder / "bright-blob.nii.gz").write_bytes(b"by hand")
    assert call(small_file, "-p", DARK, "-o", tmp_path / "out", "--overwrite") == 0
    assert "bright-blob.nii.gz was changed since it was written, so it stays" in capsys.readouterr().err
    assert (folder / "bright-blob.nii.gz").read_bytes() == b"by hand"
    assert not (folder / "small.lesions.csv").exists()  # nobody has touched that one


def test_a_foreign_provenance_deletes_nothing(small_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "small"
    folder.mkdir(parents=True)
    (folder / "precious.nii.gz").write_bytes(b"a")
    for told in ({"request": None}, {"request": [1], "files": []}, {"files": [5]}, {"files": ["precious.nii.gz"]}, []):
        (folder / f"small{STORY}").write_text(json.dumps(told), "utf-8")
        assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out") == 2
        assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--overwrite") == 0
        assert (folder / "precious.nii.gz").read_bytes() == b"a"


def test_unfinished_files_of_another_program_are_left_alone(small_file: Path, tmp_path: Path) -> None:
    for name in ("notes.txt", "scan.nii.gz.txt"):
        part = tmp_path / name / ".small.part"
        part.mkdir(parents=True)
        (part / name).write_text("mine")
        assert call(small_file, "-p", BRIGHT, "-o", tmp_path / name) == 2
        assert tree(tmp_path / name) == {f".small.part/{name}": b"mine"}


def test_a_link_that_leads_out_of_the_output_is_refused(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "bright-blob.nii.gz").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "small").symlink_to(tmp_path / "elsewhere")
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "out", "--overwrite") == 2
    assert tree(tmp_path / "elsewhere") == {"bright-blob.nii.gz": b"mine"}
    (tmp_path / "linked").symlink_to(tmp_path / "real")  # the output itself may be a link
    (tmp_path / "real").mkdir()
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "linked") == 0


@pytest.mark.parametrize("name", ["...nii.gz", "..nii.gz", "....nii.gz"])
def test_names_that_would_leave_the_output_are_refused_before_the_work(
    small_file: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "in" / name
    image.parent.mkdir()
    image.write_bytes(small_file.read_bytes())
    before = tree(tmp_path)
    for arguments in ((image, "-o", tmp_path / "out" / "deep"), (small_file, "-o", tmp_path / "in" / "out" / name)):
        assert call(*arguments, "-p", BRIGHT, "--json") == 2
        said = capsys.readouterr()
        assert "rename it" in said.err
        assert said.out == ""
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("x" * 300 + ".nii.gz", "too long"),
        ("x" * 245 + ".nii.gz", "too long"),  # the mask fits, its provenance does not
        ("x" * 300, "too long"),
        ("/".join(["x" * 200] * 25), "too long"),
        ("mask.nii.gz/", "is a folder"),
    ],
)
def test_targets_that_cant_be_written_are_found_before_the_work(
    small_file: Path, tmp_path: Path, target: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if target.endswith("/"):
        (tmp_path / target).mkdir()
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / target, "--overwrite", "--json") == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not tree(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write to, root included")
def test_a_folder_that_takes_no_files_is_found_before_the_work(
    small_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(small_file, "-p", BRIGHT, "-o", "/proc/self/out", "--json") == 2
    said = capsys.readouterr()
    assert "can't be written below /proc/self" in said.err
    assert said.out == ""


def test_the_image_is_not_overwritten_by_what_is_written_beside_a_mask(small_file: Path, tmp_path: Path) -> None:
    image = tmp_path / "mask.bright-blob.probability.nii.gz"
    image.write_bytes(small_file.read_bytes())
    how = ["--probabilities", "--overwrite"]
    assert call(image, "-p", BRIGHT, "-o", tmp_path / "mask.nii.gz", *how) == 2
    assert tree(tmp_path) == {image.name: small_file.read_bytes()}


@pytest.mark.parametrize("name", ["scan.nii", "SCAN.NII", "cells.tif", "cells.tiff", "cells.png", "CELLS.TIF"])
def test_the_image_is_never_replaced_by_its_mask(small: Phantom, tmp_path: Path, name: str) -> None:
    image = tmp_path / name
    plane = (small.volume.array[3] / 4).astype(np.uint8)
    if image.suffix.lower() == ".nii":
        image.write_bytes(io.write_volume(small.volume, tmp_path / "other.nii").read_bytes())
        (tmp_path / "other.nii").unlink()
    elif image.suffix == ".png":
        Image.fromarray(plane).save(image)
    else:
        tifffile.imwrite(image, plane)
    before = tree(tmp_path)
    for more in ([], ["--overwrite"]):
        assert run(["segment", str(image), "-p", BRIGHT, "-o", str(image), "--model", str(PHANTOM_MODEL), *more]) == 2
        assert tree(tmp_path) == before


def test_the_same_masks_in_another_format_are_not_taken_for_finished(small_file: Path, tmp_path: Path) -> None:
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "mask.nii.gz") == 0
    assert call(small_file, "-p", BRIGHT, "-o", tmp_path / "mask.nrrd") == 2
    assert not (tmp_path / "mask.nrrd").exists()


@pytest.mark.skipif(os.name == "nt", reason="folders have no locks there")
def test_two_runs_into_one_file_wait_for_each_other(small_file: Path, tmp_path: Path) -> None:
    place = Target(tmp_path, "mask", ("mask.nii.gz",), own_folder=False)
    heard, codes = threading.Event(), []

    def told(sentence: str) -> None:
        assert "being written by another run" in sentence
        heard.set()

    def second() -> None:
        with alone(place, told):
            codes.append((tmp_path / "mask.nii.gz").exists())

    with alone(place, lambda _: None):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert heard.wait(30)
        io.write_json(tmp_path / "mask.nii.gz", {})
    waiting.join(30)
    assert codes == [True]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.nii.gz"]


def test_a_run_that_another_has_overtaken_says_so(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask.nii.gz"

    def overtaken(prompt: str) -> Engine:
        assert call(small_file, "-p", prompt, "-o", out) == 0  # all of another run, while this one is at work
        return load(PHANTOM_MODEL, device="cpu")

    for prompt in (BRIGHT, DARK):
        with Show(False) as show:
            about, place = checkpoint.read(PHANTOM_MODEL), choose("cpu")
            work = Casework(Request((BRIGHT,), slices="3"), out, about, place, partial(overtaken, prompt), show)
            if prompt == BRIGHT:
                assert run_all(work, [small_file]) == 0
                assert "finished before, skipped" in capsys.readouterr().err
            else:
                with pytest.raises(ImageError, match="was made in another way"):
                    run_all(work, [small_file])
        told = json.loads((tmp_path / f"mask{STORY}").read_text("utf-8"))
        assert told["prompts"] == [prompt]
        for path in tmp_path.iterdir():
            path.unlink()


def test_what_is_not_finished_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    place = Target(tmp_path / "case", "case", ("a.nii.gz",), own_folder=True)
    with alone(place, lambda _: None) as begun:
        assert begun.parent.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []
