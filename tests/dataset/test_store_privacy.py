"""What is kept of patients is its owner's alone; people and cases with like names never share a folder."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from annotated import annotate, image

from boltzformer import io
from boltzformer.dataset import Dataset
from boltzformer.dataset.disk import erase
from boltzformer.dataset.layouts import write_nnunet
from boltzformer.errors import DatasetError
from boltzformer.evaluate.report import staged
from boltzformer.io.writing import new_files
from boltzformer.learn.finetune.folder import Board, Folder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps others out by other means")


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*")) if not path.is_symlink()}


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """A system that lets everybody read what is not protected."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("there", [False, True])
def test_a_dataset_is_its_owners_alone(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "deep" / "store").mkdir(parents=True)
    store = Dataset.at(tmp_path / "deep" / "store")
    store.add(annotate(), patient="a")
    store.add(annotate(image(2)), case="mine", answer=annotate(image(2)).labels)
    store.save_draft(annotate())
    assert modes(store.path) == {0o700, 0o600}
    store.remove("mine")
    assert modes(store.path) == {0o700, 0o600}
    write_nnunet(store, tmp_path / "export")  # which is made for others
    assert modes(tmp_path / "export") == {0o755, 0o644}


def test_runs_and_unfinished_files_are_their_owners_alone(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    run.take()
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    left_behind(run)
    run.leave()
    assert modes(run.path) == {0o700, 0o600}
    left_behind(run)  # killed before it could tidy up
    again = Folder(run.path)
    again.take()
    assert modes(run.path) == {0o700, 0o600}
    again.leave()
    assert stat.S_IMODE((tmp_path / "elsewhere.txt").stat().st_mode) == 0o644  # a link leads there: not ours
    with staged(tmp_path / "results") as begun:
        assert stat.S_IMODE(begun.stat().st_mode) == 0o700
    with new_files([tmp_path / "mask.nii.gz"]) as files:
        files[0].write(b"x")
        [part] = tmp_path.glob(".*.part")
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "mask.nii.gz").stat().st_mode) == 0o644


def left_behind(run: Folder) -> None:
    """What libraries write into a run, with the rights that they think of."""
    run.keep_best(1, {"weights": torch.zeros(2)})
    board = Board(run.path, 0)
    board.add({"loss": 1.0}, 0)
    board.close()
    run.write("told.json", "{}")
    outside = run.path.parent / "elsewhere.txt"
    outside.write_text("somebody else's", "utf-8")
    if not (run.path / "link").is_symlink():
        (run.path / "link").symlink_to(outside)
    assert len(modes(run.path)) > 2  # or this shows nothing


LIKE = ["dr.a", "dr_a", "dr a", "Dr.A", "dr.a.", "drä", "", "..", "_", "a" * 90, "a" * 91]


def test_authors_who_write_themselves_alike_never_meet(store: Dataset) -> None:
    for number, author in enumerate(LIKE[:6] + LIKE[7:]):
        store.save_draft(annotate(painted=(number % 5,)), case="one", author=author)
        assert len(list((store.path / "drafts" / "one").iterdir())) == number + 1
    names = [path.name.casefold() for path in (store.path / "drafts" / "one").iterdir()]
    assert len(set(names)) == len(names)
    store.discard_draft("one", author="dr.a")
    assert store.draft("one", author="dr.a") is None
    assert store.draft("one", author="dr_a").author == "dr_a"  # type: ignore[union-attr]
    assert store.draft("one", author="Dr.A").author == "Dr.A"  # type: ignore[union-attr]


def test_drafts_of_the_first_version_are_found_by_their_author_alone(store: Dataset) -> None:
    store.save_draft(annotate(), case="one", author="dr.a")
    [folder] = (store.path / "drafts" / "one").iterdir()
    folder.rename(folder.with_name("dr_a"))
    assert store.draft("one", author="dr.a") is not None
    assert store.draft("one", author="dr_a") is None
    store.discard_draft("one", author="dr_a")
    assert store.draft("one", author="dr.a") is not None
    store.discard_draft("one", author="dr.a")
    assert store.draft("one", author="dr.a") is None


def test_cases_that_differ_in_capitals_alone_are_refused(store: Dataset) -> None:
    store.add(annotate(), case="Scan-1")
    with pytest.raises(DatasetError, match="'Scan-1' already"):
        store.add(annotate(image(2)), case="scan-1")
    store.add(annotate(image(2)), case="scan_1")
    store.add(annotate(image(3)), case="scan.1")
    assert len(store.entries()) == 3
    erase(store.path, store.path / "cases" / "Scan-1")
    assert store.add(annotate(image(4)), case="SCAN-1").number == 1
    assert io.read(store.path / "cases" / "SCAN-1" / "image.nii.gz").array.any()
