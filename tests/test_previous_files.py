"""Files that an earlier version left on users' disks (commit e9bb116) are read, gone on with, and reproduced."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer import Prompt, io
from boltzformer.cli.cli import run
from boltzformer.dataset import Dataset
from boltzformer.desk.image import plan_of
from boltzformer.desk.keeping.remembering import last_work, masks_of
from boltzformer.desk.keeping.stories import names_in
from boltzformer.desk.settings import Settings
from boltzformer.io.phantom import BRIGHT
from boltzformer.types import Annotation, SliceState

BEFORE = Path(__file__).parent / "previous" / "e9bb116"


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(BEFORE, tmp_path / "before")
    (tmp_path / "before" / "dataset" / "private" / "salt").chmod(0o600)  # as it was written; git keeps no such modes
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "before" / "home"))
    return tmp_path / "before"


def test_a_dataset_is_read_and_added_to(before: Path) -> None:
    store, scan = Dataset(before / "dataset"), io.read(before / "scan.nii.gz")
    (case,) = store.cases()
    said = [row for row, state in enumerate(case.states[BRIGHT]) if state is SliceState.EMPTY]
    assert said == [0, 2]  # an accepted slice without a voxel says that nothing is there
    assert store.case_of(scan) == case.id
    labels = case.labels
    again = Annotation(scan, labels, (Prompt(BRIGHT),), {BRIGHT: (SliceState.EMPTY,) * 6}, {}, 0)
    assert store.add(again, author="someone").number == 2
    other = io.read(before / "scan.nii.gz")
    other = type(other)(other.array[::-1].copy(), other.grid, other.modality, "other")
    assert store.add(Annotation(other, labels, (Prompt(BRIGHT),), {BRIGHT: (SliceState.EMPTY,) * 6}, {}, 0)).number == 1
    assert run(["dataset", "check", str(before / "dataset")]) == 0


def test_a_draft_comes_back_in_the_viewer(before: Path) -> None:
    scan = io.read(before / "scan.nii.gz")
    work = last_work(before / "dataset", scan)
    assert work is not None
    (mask,) = masks_of(work, plan_of(scan))
    assert (mask.prompt.text, mask.prompt.name) == (BRIGHT, BRIGHT)
    assert (mask.scores, mask.edited, mask.gate) == ({2: 0.9}, {2}, 0.5)


def test_settings_hold(before: Path) -> None:
    kept = Settings.load()
    assert (kept.prompts, kept.samples, kept.rings, kept.threads) == ([BRIGHT], 4, False, 1)


def test_a_mask_is_told_by_its_story_and_made_again(before: Path, tmp_path: Path) -> None:
    assert names_in(before / "masks" / "scan.nii.gz") == {1: BRIGHT}
    told = str(before / "masks" / "scan.provenance.json")
    out = ["-o", str(tmp_path / "again.nii.gz"), "--model", str(PHANTOM_MODEL)]
    assert run(["segment", str(before / "scan.nii.gz"), "--reproduce", told, *out]) == 0
    assert np.array_equal(io.read(tmp_path / "again.nii.gz").array, io.read(before / "masks" / "scan.nii.gz").array)
