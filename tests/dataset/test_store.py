"""What is accepted comes back as it was, case by case and slice by slice, and says nothing about the patient."""

import json
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotated import SHAPE, STORY, annotate, image

from boltzformer import Grid, LabelMap, Prompt, Volume, io
from boltzformer.dataset import Dataset, check, drafts
from boltzformer.errors import BoltzFormerError, DatasetError, GeometryError
from boltzformer.types import Annotation, SliceState

UNSEEN, REVIEWED, EMPTY, IGNORED = SliceState


def test_an_accepted_correction_comes_back_as_it_was_given(store: Dataset) -> None:
    given = annotate(reviewed=(1, 2), ignored=(4,), painted=(1, 3))
    revision = store.add(given, author="dr. b", seconds=42.5)
    case = store.case(next(iter(store.entries())))
    assert np.array_equal(case.volume.array, given.volume.array)
    assert case.volume.array.dtype == np.int16
    assert case.volume.grid == given.volume.grid  # to the last bit
    assert (case.volume.modality, case.volume.stacking_axis) == ("CT", 0)
    assert case.states["lung nodule"] == (UNSEEN, REVIEWED, EMPTY, UNSEEN, IGNORED, UNSEEN)
    assert case.texts("lung nodule") == ("lung nodule in chest CT", "small lung nodule")
    assert case.mask("lung nodule")[1].sum() == 9
    assert case.mask("lung nodule").sum() == 9  # what nobody looked at was not accepted
    assert (revision.number, revision.author, revision.seconds, revision.seed) == (1, "dr. b", 42.5, 7)
    assert revision.model_sha256 == "ab" * 32
    assert revision.provenance["window"] == STORY["window"]


@pytest.mark.parametrize("placed", [False, True])
def test_a_copy_of_1_mm_at_the_origin_knows_no_more_than_the_image_did(store: Dataset, placed: bool) -> None:
    store.add(annotate(Volume(image().array, Grid.pixels(SHAPE), "CT", placed=placed)))
    [case] = store.cases()
    assert case.volume.has_place == placed
    story = case.folder / "case.json"
    told = json.loads(story.read_text("utf-8"))
    del told["placed"]  # as it was written before
    story.write_text(json.dumps(told), "utf-8")
    assert not store.case(case.id).volume.has_place


@pytest.mark.parametrize(
    "array",
    [
        np.arange(480, dtype=np.uint8).reshape(SHAPE),
        np.linspace(-1, 1, 480, dtype=np.float32).reshape(SHAPE),
        np.linspace(-1, 1, 480).reshape(SHAPE),
        np.random.default_rng(0).integers(0, 255, (1, 9, 7, 3)).astype(np.uint8),
        np.random.default_rng(0).integers(0, 60000, (1, 9, 7, 3)).astype(np.uint16),
    ],
    ids=["uint8", "float32", "float64", "colour", "deep colour"],
)
def test_any_image_is_copied_in_bit_by_bit(store: Dataset, array: np.ndarray) -> None:
    sheared = np.array([[1.0, 0, 0.3], [0, 1.1, 0], [0, 0, 3.3]])
    volume = Volume(array, Grid(array.shape[:3], sheared, (1 / 3, 0, 0)))
    store.add(annotate(volume, reviewed=(0,), painted=(0,)))
    [case] = store.cases()
    assert case.volume.array.dtype == array.dtype
    assert np.array_equal(case.volume.array, array)
    assert case.volume.grid == volume.grid
    assert case.mask("lung nodule")[0].sum() == 9


def test_corrections_of_one_image_are_revisions_of_one_case(store: Dataset) -> None:
    store.add(annotate(reviewed=(1, 2)))
    first = {path: path.read_bytes() for path in store.path.rglob("revisions/*/*")}
    again = store.add(annotate(reviewed=(2, 3), painted=(2,)))
    [case] = store.cases()
    assert again.number == 2
    assert case.states["lung nodule"] == (UNSEEN, REVIEWED, REVIEWED, EMPTY, UNSEEN, UNSEEN)
    assert case.as_of(1).states["lung nodule"][2] is EMPTY
    assert [case.mask("lung nodule")[n].sum() for n in range(4)] == [0, 9, 9, 0]
    assert all(path.read_bytes() == content for path, content in first.items())


def test_what_another_person_corrected_meanwhile_is_not_turned_back(store: Dataset) -> None:
    start = annotate(reviewed=(0, 1), painted=(1,))
    began = store.add(start)
    store.add(annotate(reviewed=(1,), painted=()), based_on=began.number)  # a: nothing in slice 1 after all
    store.add(annotate(reviewed=(0, 1, 4), painted=(1, 4)), based_on=began.number)  # b: has seen slice 4
    [case] = store.cases()
    assert case.states["lung nodule"] == (EMPTY, EMPTY, UNSEEN, UNSEEN, REVIEWED, UNSEEN)
    assert not case.mask("lung nodule")[1].any()


def test_a_word_that_is_taken_back_is_as_if_it_had_never_been_said(store: Dataset) -> None:
    nodule = "lung nodule"
    store.add(annotate(reviewed=(1,)))
    store.add(annotate(reviewed=(1, 2, 3), painted=()), based_on=1)  # nothing is in any of them
    nothing = annotate(reviewed=())
    (before,), told = store.cases(), store.fingerprint()
    assert [lesson.index for lesson in before.lessons if lesson.absent] == [1, 2, 3]
    store.add(annotate(reviewed=(3,)), author="another")
    back = {nodule: [1, 2, 3, 5], "a stranger": [2]}
    assert store.add(nothing, based_on=2, taken_back=back).taken_back == {nodule: [1, 2]}  # the other's word stays
    (case,) = store.cases()
    assert [state.value for state in case.states[nodule][:4]] == ["unseen", "reviewed", "unseen", "reviewed-empty"]
    assert case.mask(nodule)[1].any()  # as it had been accepted before
    assert [(one.index, bool(one.absent)) for one in case.lessons] == [(1, False), (3, True)]
    assert case.as_of(3).states[nodule][1] is SliceState.EMPTY
    assert store.add(nothing, based_on=4, taken_back={nodule: [2]}).number == 4  # nothing is left of it to take back
    store.add(nothing, taken_back={nodule: [1, 3]})
    store.add(nothing, taken_back={nodule: [3]})  # two have said it
    (case,) = store.cases()
    assert (dict(case.states), case.lessons, case.labels.names, case.answers()) == ({}, (), {}, {})
    assert not list(check(store))
    assert store.fingerprint() != told
    with pytest.raises(DatasetError, match="No slice has been reviewed"):
        store.add(nothing)


def test_accepting_the_same_again_adds_nothing_when_it_says_what_it_began_from(store: Dataset) -> None:
    began = store.add(annotate())
    assert store.add(annotate(), based_on=began.number).number == began.number


def test_overlapping_labels_are_kept_and_new_ones_join(store: Dataset) -> None:
    volume = image()
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, 1:4, 1:7, 1:7] = 4
    layers[1, 2, 3, 3] = 9
    said = {"kidney": (REVIEWED,) * 6, "tumour": (REVIEWED,) * 6}
    labels = LabelMap(layers, volume.grid, {4: "kidney", 9: "tumour"})
    store.add(Annotation(volume, labels, (Prompt("kidney"),), said, {}, 0))
    store.add(annotate(volume, reviewed=(5,), painted=(5,), name="cyst", value=200))
    [case] = store.cases()
    assert case.mask("kidney").sum() == 3 * 36
    assert np.argwhere(case.mask("tumour")).tolist() == [[2, 3, 3]]
    assert case.states["tumour"] == (EMPTY, EMPTY, REVIEWED, EMPTY, EMPTY, EMPTY)
    assert case.labels.names == {1: "kidney", 2: "tumour", 3: "cyst"}
    assert np.array_equal(case.labels.mask(2), case.mask("tumour"))
    assert case.texts("tumour") == ("tumour",)


def test_the_difference_to_the_models_answer_is_kept_and_gives_the_answer_back(store: Dataset) -> None:
    given = annotate(reviewed=(1, 2), painted=(1,))
    layers = np.zeros((1, *SHAPE), np.uint8)
    layers[0, 1:4, 2:4, 3:6] = 5
    answer = LabelMap(layers, given.volume.grid, {5: "lung nodule"})
    store.add(given, answer=answer)
    [case] = store.cases()
    [revision] = case.revisions
    assert revision.changes["lung nodule"] == {"added": 3, "removed": 6}
    back = revision.answer(case.grid)["lung nodule"]
    assert np.array_equal(back[1:3], layers[0, 1:3] > 0)
    assert not back[3].any()  # not reviewed: not part of what was corrected
    size = (revision.folder / "change.seg.nrrd").stat().st_size
    assert size < 2000
    assert io.read_labels(revision.folder / "change.seg.nrrd").mask(1).sum() == 9


def test_one_accepted_slice_of_a_large_volume_takes_little_room(store: Dataset) -> None:
    volume = Volume(np.zeros((40, 256, 256), np.uint8), Grid.pixels((40, 256, 256)))
    store.add(annotate(volume, reviewed=(17,), painted=(17,)))
    [case] = store.cases()
    stored = io.read_labels(case.revisions[0].folder / "labels.seg.nrrd")
    assert stored.grid.shape == (1, 256, 256)
    assert np.allclose(stored.grid.origin, volume.grid.world((0, 0, 17)))  # opens in its place in 3D Slicer
    assert case.mask("lung nodule")[17].sum() == 9


def test_training_sees_every_judged_slice_and_no_other(store: Dataset) -> None:
    store.add(annotate(reviewed=(1, 2), ignored=(4,)), patient="a")
    [case] = store.cases()
    lessons = store.lessons()
    assert [(one.index, one.present, one.absent, one.ignored) for one in lessons] == [
        (1, ("lung nodule",), (), ()),
        (2, (), ("lung nodule",), ()),
        (4, (), (), ("lung nodule",)),
    ]
    assert {(one.case, one.group, one.split) for one in lessons} == {(case.id, case.group, "train")}
    assert store.lessons("validation") == ()


def test_slices_are_shown_as_people_and_the_network_see_them(store: Dataset) -> None:
    shape = (8, 6, 10)
    axes = np.array([[0, 0, -2.0], [0, -1.0, 0], [-1.0, 0, 0]])  # stored sideways and upside down
    volume = Volume(np.arange(480).reshape(shape).astype(np.int16), Grid(shape, axes, (0, 0, 0)))
    states = {"x": (REVIEWED,) * shape[volume.slice_axis]}
    layers = np.zeros((1, *shape), np.uint8)
    layers[0, 3, 2, 1] = 1
    store.add(Annotation(volume, LabelMap(layers, volume.grid, {1: "x"}), (), states))
    [case] = store.cases()
    index = (3, 2, 1)[case.axis]
    plane = case.plane(volume.array, index)
    assert plane[case.plane(case.mask("x"), index)].tolist() == [volume.array[3, 2, 1]]
    view = case.grid.canonical(case.axis)
    assert plane.shape == tuple(shape[axis] for axis in view.order[1:])


def test_yesterdays_case_reopens_with_its_states(store: Dataset) -> None:
    store.add(annotate())
    [case] = Dataset(store.path).cases()
    again = case.annotation
    assert again.slices == case.states
    assert [prompt.text for prompt in again.prompts] == ["lung nodule in chest CT", "small lung nodule"]
    assert store.add(again, based_on=1).number == 1


def test_a_draft_is_kept_apart_and_comes_back_whole(store: Dataset) -> None:
    given = annotate(reviewed=(1,), painted=(1, 3, 5))
    name = store.save_draft(given, author="b")
    store.save_draft(replace(given, slices={}), author="c/../x")
    assert not store.entries()
    assert store.lessons() == ()
    back = store.draft(name, author="b").annotation(given.volume)
    assert np.array_equal(back.labels.mask(1), given.labels.mask(1))
    assert back.slices == given.slices
    assert [prompt.text for prompt in back.prompts] == [prompt.text for prompt in given.prompts]
    assert store.draft(name, author="c/../x").slices["lung nodule"] == (UNSEEN,) * 6
    assert store.draft(name, author="nobody") is None
    store.discard_draft(name, author="b")
    assert store.draft(name, author="b") is None


def test_an_autosave_keeps_what_the_model_had_said_also_where_nobody_looked(store: Dataset) -> None:
    given = annotate(reviewed=(1,), painted=(1, 3))
    layers = np.zeros((1, *SHAPE), np.uint8)
    layers[0, 1:5, 2:4, 3:6] = 5
    name = store.save_draft(given, answer=LabelMap(layers, given.volume.grid, {5: "lung nodule"}))
    back = store.draft(name).answer(given.volume.grid)
    assert np.array_equal(back["lung nodule"], layers[0] > 0)


def test_provenance_in_lists_names_no_patient_either(store: Dataset) -> None:
    given = annotate()
    runs = {"answered": {"lung nodule": {"runs": [dict(given.provenance), {"path": "/ward/DOE"}]}}}
    store.save_draft(replace(given, provenance=runs))
    [told] = store.path.glob("drafts/*/*/*/revision.json")
    assert "ab" * 32 in told.read_text("utf-8")
    assert "DOE" not in told.read_text("utf-8")


def test_a_damaged_autosave_gives_way_to_the_one_before(store: Dataset) -> None:
    for painted in ((1,), (1, 2), (1, 2, 3)):
        name = store.save_draft(annotate(painted=painted))
    drafts = sorted((store.path / "drafts" / name).glob("*/*"))
    assert len(drafts) == 2  # no more are kept
    whole = (drafts[-1] / "labels.seg.nrrd").read_bytes()
    (drafts[-1] / "labels.seg.nrrd").write_bytes(whole[:-20])
    assert store.draft(name).annotation(image()).labels.mask(1).sum() == 2 * 9


def test_what_was_set_aside_comes_back_as_the_last_where_nothing_was_saved_after_it(
    store: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for painted in ((1,), (1, 2)):
        name = store.save_draft(annotate(painted=painted))

    def ended(*_: object, **__: object) -> None:
        raise DatasetError("the power failed")

    with monkeypatch.context() as patch:
        patch.setattr(drafts, "write_revision", ended)
        with pytest.raises(DatasetError, match="power"):
            store.save_draft(annotate(painted=(4,)), aside=True)
    assert store.draft(name).annotation(image()).labels.mask(1).sum() == 2 * 9
    store.save_draft(annotate(painted=(1, 2, 3)), aside=True)
    assert store.draft(name).annotation(image()).labels.mask(1).sum() == 3 * 9
    assert 2 * 9 in [one.annotation(image()).labels.mask(1).sum() for one in store.earlier(name)]


def test_nothing_in_the_folder_or_the_log_names_the_patient(
    store: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    kept = io.write_volume(image(), tmp_path / "DOE_JANE_4711.nii.gz")
    given = annotate(replace(image(), source=str(kept)))
    revision = store.add(given, patient="4711-DOE", origin={"dataset": "ward", "path": str(kept), "source": str(kept)})
    store.save_draft(given)
    with pytest.raises(DatasetError) as refused:
        store.add(given, patient="another DOE")
    store.remove(revision.folder.parents[1].name)
    store.add(given, patient="4711-DOE")
    every = [path.relative_to(store.path).as_posix().encode() for path in store.path.rglob("*")]
    every += [path.read_bytes() for path in store.path.rglob("*") if path.is_file()]
    every += [caplog.text.encode(), str(refused.value).encode()]
    assert not [text for text in every if b"DOE" in text or b"JANE" in text or b"4711" in text]


def test_case_ids_and_patients_are_salted_so_two_datasets_share_none(store: Dataset, tmp_path: Path) -> None:
    other = Dataset.at(tmp_path / "other")
    for one in (store, other):
        one.add(annotate(), patient="4711")
    [a], [b] = store.cases(), other.cases()
    assert a.id != b.id
    assert a.group != b.group
    salt = store.path / "private" / "salt"
    assert os.name == "nt" or stat.S_IMODE(salt.stat().st_mode) == 0o600
    salt.unlink()
    assert next(iter(store.cases())).mask("lung nodule").any()  # reading needs no secret
    with pytest.raises(DatasetError, match="salt is missing"):
        store.add(annotate(image(5)))


def test_removing_a_case_removes_every_trace_of_it(store: Dataset) -> None:
    keep, gone = (store.add(annotate(image(seed))).folder.parents[1].name for seed in (1, 2))
    store.save_draft(annotate(image(2)))
    (store.cache_folder(gone) / "features").mkdir(parents=True)
    (store.cache_folder(gone) / "features" / "1.bin").write_bytes(b"x")
    group = store.case(gone).group
    store.remove(gone)
    traces = [path for path in store.path.rglob("*") if gone in path.name]
    traces += [path for path in store.path.rglob("*") if path.is_file() and gone.encode() in path.read_bytes()]
    assert traces == []
    assert list(store.entries()) == [keep]
    assert group in store.groups()
    with pytest.raises(DatasetError, match="no case"):
        store.remove(gone)


def test_an_image_may_stay_where_it_is(store: Dataset, tmp_path: Path) -> None:
    path = io.write_volume(image(), tmp_path / "scan.nii.gz")
    volume = io.read(path)
    store.add(annotate(volume), copy=False)
    [case] = store.cases()
    assert not list(case.folder.glob("image*"))
    assert np.array_equal(case.volume.array, volume.array)
    io.write_volume(image(3), path, overwrite=True)
    [case] = store.cases()
    with pytest.raises(DatasetError, match="other voxels"):
        case.volume  # noqa: B018
    store.remove(case.id)
    assert "scan" not in (store.path / "private" / "places.json").read_text("utf-8")
    with pytest.raises(DatasetError, match="copied into"):
        store.add(annotate(image(4)), copy=False)


def test_the_fingerprint_changes_with_the_data_and_only_then(store: Dataset, tmp_path: Path) -> None:
    store.add(annotate())
    before = store.fingerprint()
    store.save_draft(annotate())
    assert Dataset(store.path).fingerprint() == before
    store.add(annotate(reviewed=(3,)))
    assert store.fingerprint() != before


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda a: replace(a, slices={}), "No slice has been reviewed"),
        (lambda a: replace(a, slices={"lung nodule": (EMPTY,) * 6}), "marked as empty of 'lung nodule' but 9 voxels"),
        (lambda a: replace(a, slices={"liver": (EMPTY,) * 6}), "No label is named"),
        (lambda a: replace(a, slices={"lung nodule": (EMPTY,)}), "6 slices"),
        (lambda a: replace(a, prompts=(Prompt("liver"),)), "No label is named"),
        (lambda a: replace(a, labels=replace(a.labels, names={1: "x", 2: "x"})), "a name of its own"),
        (lambda a: replace(a, volume=replace(a.volume, grid=Grid.pixels(SHAPE))), "own grid"),
        (
            lambda a: replace(a, volume=replace(a.volume, array=np.full(SHAPE, np.nan))),
            "without a number",
        ),
    ],
)
def test_contradictions_are_refused_in_a_sentence(store: Dataset, spoil, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((BoltzFormerError, GeometryError), match=sentence):
        store.add(spoil(annotate()))
    assert not store.entries()


def test_a_case_stays_one_image_of_one_patient_along_one_axis(store: Dataset) -> None:
    store.add(annotate(), case="trial-7", patient="a")
    for spoilt, how in (
        (annotate(image(1)), {"case": "trial-7"}),
        (annotate(), {"case": "trial-7", "patient": "b"}),
        (
            replace(annotate(), axis=1, slices={"lung nodule": (IGNORED,) * 8}),
            {"case": "trial-7"},
        ),
    ):
        with pytest.raises(DatasetError):
            store.add(spoilt, **how)
    assert len(store.case("trial-7").revisions) == 1
    assert store.add(annotate(), case="trial-7", patient=" A ").number == 2


@pytest.mark.parametrize("name", ["../up", "a/b", "", "con", "nul.txt", "x" * 65, ".hidden", "end.", "Jane Doe", "é"])
def test_case_ids_that_can_not_be_folders_everywhere_are_refused(store: Dataset, name: str) -> None:
    if name:
        with pytest.raises(DatasetError, match="folder's name"):
            store.add(annotate(), case=name)
    with pytest.raises(DatasetError):
        store.remove(name)
    with pytest.raises(DatasetError):
        store.case(name)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="other files"):
        Dataset.at(tmp_path)
    with pytest.raises(DatasetError, match="no annotation dataset"):
        Dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": "boltzformer annotations", "version": 2}))
    with pytest.raises(DatasetError, match="newer version"):
        Dataset(tmp_path)
