"""A patient is on one side of the split, from the first image to the last, whatever comes and goes."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from annotated import annotate, image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import write_series

from boltzformer import Volume, io
from boltzformer.dataset import Dataset, check, repair
from boltzformer.dataset.identity import draw
from boltzformer.errors import DatasetError

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "unnamed", "remove", "reopen", "reindex"]),
        st.integers(0, 4),  # whose image
        st.integers(0, 2),  # which of theirs
        st.sampled_from([None, None, "train", "validation", "test"]),
    ),
    min_size=1,
    max_size=14,
)


def tiny(patient: int, which: int) -> Volume:
    return image(10 * patient + which, (6, 5, 7))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_no_patient_is_ever_on_two_sides(steps: Sequence[tuple[str, int, int, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        store = Dataset.at(Path(place) / "store")
        sides_of: dict[object, set[str]] = {}  # over all time, of every image and every patient who was named
        for what, patient, which, wish in steps:
            volume = tiny(patient, which)
            case = store.case_of(volume)
            if what in ("add", "unnamed"):
                named = f"P-{patient}" if what == "add" else ""
                try:
                    store.add(annotate(volume), patient=named, split=wish)  # type: ignore[arg-type]
                except DatasetError:  # was here without a name, on the other side: refused, not torn apart
                    assert (patient, which) in sides_of
                    continue
                side = store.case(case).split
                sides_of.setdefault((patient, which), set()).add(side)
                if named:
                    sides_of.setdefault(named, set()).add(side)
            elif what == "remove" and case in store.entries():
                store.remove(case)
            elif what == "reopen":
                store = Dataset(store.path)
            elif what == "reindex":
                (store.path / "index.json").unlink(missing_ok=True)
            assert all(len(sides) == 1 for sides in sides_of.values())
            by_group: dict[str, set[str]] = {}
            for entry in store.entries().values():
                by_group.setdefault(entry.group, set()).add(entry.split)
            assert all(len(sides) == 1 for sides in by_group.values())
        assert {problem.what[:10] for problem in check(store)} <= {"index.json"}


@given(st.binary(min_size=32, max_size=32))
def test_one_of_three_and_one_of_every_four_patients_validates(salt: bytes) -> None:
    sides = [draw(salt, number) for number in range(40)]
    assert sides[0] == "train"
    assert sides[:3].count("validation") == 1
    assert all(sides[n : n + 4].count("validation") == 1 for n in range(0, 40, 4))


def test_which_patient_validates_depends_on_the_salt_not_on_the_order_alone() -> None:
    drawn = {tuple(draw(bytes([n]) * 32, number) for number in range(8)) for n in range(50)}
    assert len(drawn) == 8  # two places in the first four, four in the second


def test_who_comes_back_is_known_by_name_or_image(store: Dataset) -> None:
    store.add(annotate(image(1)), split="validation")
    [case] = store.cases()
    store.remove(case.id)
    store.add(annotate(image(1)), patient="a", split="train")
    store.add(annotate(image(2)), patient="a", split="train")
    assert {case.split for case in store.cases()} == {"validation"}
    for case in store.cases():
        store.remove(case.id)
    store.add(annotate(image(2)), split="train")
    store.add(annotate(image(3)), patient="b", split="train")
    assert sorted(case.split for case in store.cases()) == ["train", "validation"]
    store.remove(store.case_of(image(3)))
    with pytest.raises(DatasetError, match="another patient's"):
        store.add(annotate(image(3)), patient="a")


def test_a_new_scan_of_a_known_patient_follows_and_a_wish_comes_too_late(store: Dataset) -> None:
    store.add(annotate(image(1)), patient="a", split="validation")
    store.add(annotate(image(2)), patient="a")
    store.add(annotate(image(3)), patient=" A\u00a0", split="train")
    assert {case.split for case in store.cases()} == {"validation"}
    with pytest.raises(DatasetError, match="There is no split"):
        store.add(annotate(image(4)), split="testing")  # type: ignore[arg-type]


def test_two_series_of_a_patient_are_held_together_by_their_dicom_headers(store: Dataset, tmp_path: Path) -> None:
    for number, who in enumerate(["P1", "P1 ", "P2"]):
        volume = image(number)
        write_series(tmp_path / f"series{number}", volume.array, volume.grid, PatientID=who)
        store.add(annotate(io.read(tmp_path / f"series{number}"), reviewed=(0,), painted=()))
    groups = [case.group for case in store.cases()]
    assert len(groups) == 3
    assert len(set(groups)) == 2
    assert not [
        f for f in store.path.rglob("*") if f.is_file() and (b"Doe" in f.read_bytes() or b"P1" in f.read_bytes())
    ]


def story_of(store: Dataset, case: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((store.path / "cases" / case / "case.json").read_text("utf-8"))
    return told


def rewrite(file: Path, change: Callable[[Any], object]) -> None:
    told = json.loads(file.read_text("utf-8"))
    change(told)
    file.write_text(json.dumps(told), "utf-8")


def test_the_side_is_read_from_the_case_and_an_index_that_says_otherwise_is_mended(store: Dataset) -> None:
    for number, side in enumerate(("train", "validation", "test")):
        store.add(annotate(image(number)), case=side, patient=side, split=side)  # type: ignore[arg-type]

    def turn(index: Any) -> None:
        for row, other in zip(index["cases"].values(), ("train", "train", "validation"), strict=True):
            row["split"], row["group"] = other, "group-x"

    rewrite(store.path / "index.json", turn)
    assert {case.id: case.split for case in store.cases()} == {side: side for side in ("train", "validation", "test")}
    assert [case.id for case in store.cases("validation")] == ["validation"]
    assert [lesson.case for lesson in store.lessons("train")] == ["train"] * 2
    assert {entry.split: entry.group for entry in store.entries().values()} == {
        side: story_of(store, side)["group"] for side in ("train", "validation", "test")
    }
    assert [problem.what[:10] for problem in check(store)] == ["index.json"]
    store.refresh()
    assert list(check(store)) == []


@pytest.mark.parametrize("how", ["group", "all groups", "image", "another side"])
def test_lost_entries_of_the_split_are_found_and_nobody_new_is_split_until_they_are_back(
    store: Dataset, how: str
) -> None:
    for number in range(4):
        store.add(annotate(image(number)), case=f"c{number}", patient=f"p{number}")
    whole = json.loads((store.path / "split.json").read_text("utf-8"))
    lost = story_of(store, "c1")

    def lose(split: Any) -> None:
        for key in [key for key in split if key.endswith("_groups")]:
            if how == "all groups":
                split[key] = []
            elif how != "image" and lost["group"] in split[key]:
                split[key].remove(lost["group"])
        if how == "another side":
            split["test_groups"].append(lost["group"])
        if how == "all groups":
            split["images"] = {}
        elif how != "another side":
            split["images"] = {image: who for image, who in split["images"].items() if who != lost["group"]}

    rewrite(store.path / "split.json", lose)
    found = list(check(store))
    assert {problem.case for problem in found} == ({"c0", "c1", "c2", "c3"} if how == "all groups" else {"c1"})
    before = (store.path / "split.json").read_bytes()
    for patient in ("p1", "new", ""):
        with pytest.raises(DatasetError, match="check --repair"):
            store.add(annotate(image(9)), patient=patient)
    assert (store.path / "split.json").read_bytes() == before
    store.add(annotate(image(1), reviewed=(4,)), case="c1")  # a case that is there is corrected as ever
    assert repair(store)
    assert list(check(store)) == []
    mended = json.loads((store.path / "split.json").read_text("utf-8"))
    assert mended == whole
    store.add(annotate(image(9)), patient="p1")
    assert store.case(store.case_of(image(9))).split == lost["split"]
