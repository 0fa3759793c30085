"""What was accepted stays, whatever happens to the writer, the disk or the index: real processes, real signals."""

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotated import annotate, image
from writer import main

from boltzformer.dataset import Dataset, Revision, check, repair
from boltzformer.dataset.disk import writing
from boltzformer.dataset.index import is_current
from boltzformer.errors import DatasetError

WRITER = Path(__file__).with_name("writer.py")


def start(store: Path, what: str = "plain", count: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WRITER), str(store), what, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
    )


def kept(told: str) -> list[tuple[str, int, int]]:
    """Case, revision and slice of every line that says so."""
    rows = [line.split() for line in told.splitlines() if line.startswith("kept") and line.count(" ") == 3]
    return [(case, int(number), int(index)) for _, case, number, index in rows]


def unfinished(store: Dataset) -> bool:
    """Whether an append is under way, or was left by a writer who died."""
    try:
        return bool(os.listdir(store.path / ".unfinished"))
    except FileNotFoundError:
        return False


def demand_all(store: Dataset, told: list[tuple[str, int, int]]) -> None:
    """Every revision that a writer heard of is there, whole, with its slice."""
    for case, number, index in told:
        [revision] = [one for one in store.case(case).revisions if one.number == number]
        revision.verify()
        mask = revision.masks(store.case(case).grid)["lung nodule"]
        assert mask[index].sum() == mask.sum() == 9


def test_two_writers_at_once_lose_nothing(store: Dataset) -> None:
    writers = [start(store.path, count=12) for _ in range(2)]
    told = [kept(writer.communicate(timeout=120)[0]) for writer in writers]
    assert [len(one) for one in told] == [12, 12]
    demand_all(store, told[0] + told[1])
    numbers = [number for case, number, _ in told[0] + told[1] if case == store.case_of(image(0))]
    assert sorted(numbers) == list(range(1, 13))  # each its own, none overwritten
    assert list(check(store)) == []
    assert is_current(store.path)


def test_two_threads_exclude_each_other_too(store: Dataset) -> None:
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for index in range(5):
                store.add(annotate(image(0), reviewed=(index,)), patient=f"{seed}" if seed < 0 else "")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(1,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    [case] = store.cases()
    assert [revision.number for revision in case.revisions] == list(range(1, 16))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal 9")
def test_killed_during_an_append_twenty_times_nothing_accepted_is_lost(store: Dataset) -> None:
    rng = random.Random(3)
    told: list[tuple[str, int, int]] = []
    half_done = 0
    for _ in range(20):
        reads, writes = os.pipe()
        with os.fdopen(reads) as heard, os.fdopen(writes, "w") as says:
            victim = multiprocessing.get_context("fork").Process(target=main, args=(store.path, "plain", 1000, says))
            victim.start()
            says.close()
            lines = [heard.readline() for _ in range(1 + rng.randint(0, 3))]
            while not unfinished(store):  # it is in the middle of the next one
                pass
            until = time.perf_counter() + rng.uniform(0, 0.03)
            while time.perf_counter() < until:
                pass
            victim.kill()
            told += kept("".join(lines) + heard.read())
            victim.join()
        half_done += unfinished(store)
        found = store.entries()  # a reader beside the wreck
        assert {case for case, _, _ in told} <= set(found)
        with writing(store.path, patience_s=5):  # free at once: its owner is gone
            pass
    assert half_done  # the blow did fall into appends
    assert len(told) > 10
    demand_all(store, told)
    revision = store.add(annotate(image(77)))
    demand_all(store, [(revision.folder.parents[1].name, 1, 1)])
    assert not unfinished(store)
    assert is_current(store.path)
    assert list(check(store)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal 9")
def test_the_lock_of_a_dead_writer_is_free_and_that_of_a_living_one_is_not(store: Dataset) -> None:
    holder = start(store.path, "hold")
    assert holder.stdout
    assert [holder.stdout.readline().strip() for _ in range(2)] == ["ready", "held"]
    with pytest.raises(DatasetError, match="another program"), writing(store.path, patience_s=0.2):
        pass
    assert list(store.cases()) == []  # reading needs no lock
    holder.kill()
    holder.communicate()
    assert (store.path / ".lock").exists()  # the file stays; only the system's lock counts
    assert store.add(annotate()).number == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_quota_in_the_middle_of_an_append_leaves_what_was_there(store: Dataset) -> None:
    before = store.add(annotate())
    content = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file() and path.name != ".lock"}
    told, errors = start(store.path, "limit30000").communicate(timeout=60)
    assert "refused" in told, errors
    assert "nothing was added and what was there is whole" in told
    changed = {path for path, was in content.items() if path.read_bytes() != was}
    assert changed <= {store.path / "split.json"}  # the new patient's side was drawn already
    assert not unfinished(store)
    assert [one.number for one in store.case(before.folder.parents[1].name).revisions] == [1]
    assert store.add(annotate(reviewed=(4,))).number == 2


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root on Linux; the quota test beside this one needs nothing")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_a_sentence_and_costs_nothing_that_was_kept(tiny_disk: Path) -> None:
    store = Dataset.at(tiny_disk / "store")
    added: list[Revision] = []
    with pytest.raises(DatasetError, match="No space left on device"):
        added.extend(store.add(annotate(image(seed, (6, 60, 60)))) for seed in range(100))
    assert added
    assert set(store.entries()) == {revision.folder.parents[1].name for revision in added}
    for revision in added:
        revision.verify()
    with (tiny_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        file.writelines([b"x" * 1000] * 400)
    with pytest.raises(DatasetError, match="No space left on device"):
        store.save_draft(annotate())
    (tiny_disk / "filler").unlink()
    store.remove(added[0].folder.parents[1].name)
    store.add(annotate(image(0, (6, 60, 60))))
    assert list(check(store)) == []


@pytest.mark.parametrize("keep", [0, 1, 40, -5])
def test_a_truncated_index_is_made_again(store: Dataset, keep: int) -> None:
    store.add(annotate(image(1)))
    store.add(annotate(image(2)))
    whole, before = (store.path / "index.json").read_bytes(), dict(store.entries())
    (store.path / "index.json").write_bytes(whole[:keep])
    assert store.entries() == before
    assert [problem.what[:10] for problem in check(store)] == ["index.json"]
    store.add(annotate(image(1)), based_on=1)
    assert (store.path / "index.json").read_bytes() == whole


def test_an_index_that_lies_is_not_believed(store: Dataset) -> None:
    store.add(annotate(image(1)))
    old = (store.path / "index.json").read_bytes()
    store.add(annotate(image(1), reviewed=(4,)))
    now = dict(store.entries())
    (store.path / "index.json").write_bytes(old)
    assert store.entries() == now
    (store.path / "index.json").unlink()
    assert store.entries() == now


@pytest.mark.parametrize("name", ["labels.seg.nrrd", "revision.json"])
def test_a_truncated_revision_is_named_put_aside_and_the_others_stay(store: Dataset, name: str) -> None:
    first = store.add(annotate(reviewed=(1,)))
    last = store.add(annotate(reviewed=(1, 2), painted=(2,)))
    case = last.folder.parents[1].name
    whole = (last.folder / name).read_bytes()
    (last.folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"damaged.*--repair"):
        store.case(case).mask("lung nodule")
    assert case in {problem.case for problem in check(store)}
    assert any("Revision 2 is damaged" in problem.what for problem in repair(store))
    assert list(check(store)) == []
    assert (store.path / "damaged" / case / "000001" / last.folder.name / name).read_bytes() == whole[: len(whole) // 2]
    assert np.array_equal(store.case(case).mask("lung nodule"), first.masks(image().grid)["lung nodule"])


def test_a_truncated_case_or_split_is_mended_from_what_is_whole(store: Dataset) -> None:
    good, bad = (store.add(annotate(image(seed)), patient=str(seed)) for seed in (1, 2))
    sides = dict(store.groups())
    story = bad.folder.parents[1] / "case.json"
    story.write_bytes(story.read_bytes()[:50])
    with pytest.raises(DatasetError, match="damaged"):
        list(store.cases())
    assert good.folder.parents[1].name in store.entries()  # the others can still be listed
    repair(store)
    assert [case.id for case in store.cases()] == [good.folder.parents[1].name]
    (store.path / "split.json").write_bytes(b'{"training_groups": [')
    with pytest.raises(DatasetError, match="damaged"):
        store.add(annotate(image(3)))
    repair(store)
    [case] = store.cases()
    assert store.groups() == {case.group: sides[case.group]}
    assert list(check(store)) == []


def test_a_damaged_image_is_found_by_its_hash(store: Dataset) -> None:
    store.add(annotate())
    [case] = store.cases()
    (case.folder / "image.nii.gz").write_bytes((case.folder / "image.nii.gz").read_bytes()[:-30])
    assert [problem.case for problem in check(store)] == [case.id]
    with pytest.raises(DatasetError, match="image"):
        store.case(case.id).volume  # noqa: B018
