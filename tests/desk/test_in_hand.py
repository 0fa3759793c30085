"""The mask in hand: the one that was selected last, also while points or a box have the selection; what a person
changes is in hand, so that undo is about it. What was kept side by side comes back so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench, result, whole

from boltzformer import Grid, Prompt
from boltzformer.dataset import Dataset
from boltzformer.desk.keeping.lesions import standing
from boltzformer.desk.keeping.nothing_here import NOTHING
from boltzformer.desk.keeping.one_patient import PUT_AWAY
from boltzformer.desk.masks.answers import Answers
from boltzformer.desk.masks.overview import sentence
from boltzformer.desk.models.knowledge import Knowledge, as_prompt, named_beside
from boltzformer.desk.scale import Scale
from boltzformer.desk.teaching.enough import enough
from boltzformer.io.phantom import phantom
from boltzformer.knowledge.card import Card
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine

GRID = Grid.pixels((1, 40, 60))
APART = np.zeros((40, 60), bool)
APART[10:20, 10:20] = APART[10:20, 30:40] = True


def test_points_are_for_the_mask_that_was_selected_before_them(bench: Bench) -> None:
    image = bench.open(GRID)
    liver, kidney, spleen = (bench.desk.tracks.new(image, Prompt(name)) for name in ("liver", "kidney", "spleen"))
    active = bench.desk.tracks.active
    assert active() is spleen
    bench.stage.activate(kidney.surface)
    assert active() is kidney
    bench.stage._active = None  # as when a layer of points is selected
    assert active() is kidney
    kidney.surface.shown = False
    assert active() is spleen
    kidney.surface.shown = True
    stomach = bench.desk.tracks.new(image, Prompt("stomach"))
    assert active() is stomach
    bench.stage.activate(liver.surface)
    assert active() is liver


def test_a_click_asks_about_what_is_in_the_box_of_prompts(bench: Bench) -> None:
    image = bench.open(GRID)
    liver, kidney, spleen = (bench.desk.tracks.new(image, Prompt(name)) for name in ("liver", "kidney", "spleen"))
    tracks = bench.desk.tracks
    image.typed = ["liver"]
    assert tracks.active() is liver  # and not the last row
    assert tracks.in_question(image.typed) == "liver"
    image.typed = ["spleen", "liver", "kidney"]
    assert tracks.active() is kidney
    bench.stage.activate(spleen.surface)
    assert tracks.in_question(image.typed) == "spleen"
    image.typed = ["stomach"]  # which has no mask yet
    assert tracks.in_question(image.typed) == "stomach"
    assert tracks.active() is spleen  # what was selected is what is painted in
    image.typed = []
    assert tracks.in_question(image.typed) == "spleen"


def test_what_can_be_learnt_is_said_of_the_mask_that_is_selected(bench: Bench) -> None:
    image = bench.open(Grid.pixels((4, 40, 60)))
    lesion, hippocampus = (bench.desk.tracks.new(image, Prompt(name)) for name in ("MS lesion", "hippocampus"))
    told: list[str] = []
    bench.desk.learning.changed.append(lambda: told.append(bench.desk.learning.standing))
    for track in (lesion, hippocampus):
        bench.stage.activate(track.surface)
        bench.desk.overview.look()  # as a viewer says when something else is selected
        assert f"'{track.name}'" in told[-1]
    count = len(told)
    bench.stage.go(image, 2)
    bench.desk.overview.look()
    assert len(told) == count  # another slice teaches nothing else


def test_a_row_and_the_totals_tell_the_same_of_slices_that_a_person_filled(bench: Bench) -> None:
    image = bench.open(Grid.pixels((8, 40, 60)))
    track = bench.desk.tracks.new(image, Prompt("left atrium"))
    bench.answer(track, {2: APART})
    bench.stage.go(image, 2)
    assert "this slice · 2 objects, 200 voxels" in bench.desk.row_of(track)
    track.change_all(dict.fromkeys((4, 5, 6), APART))
    bench.until(lambda: track.key in bench.desk.counting.objects and "800" in bench.desk.row_of(track))
    assert "4 slices · 4 objects, 800" in bench.desk.row_of(track)
    bench.until(lambda: "800" in bench.desk.overview.reapplying.totals[0])
    assert bench.desk.overview.reapplying.totals == ["left atrium: 800 voxels in 4 of 8 slices, looked in 1"]


def test_a_missing_prompt_is_no_trouble_to_report(bench: Bench) -> None:
    bench.open(GRID)
    bench.desk.running.start([], only_this=True)
    assert bench.speaker.sentence.startswith("There is no prompt")
    assert not bench.speaker.failed
    bench.desk.typed([])
    assert bench.speaker.sentence.startswith("There is no prompt")
    bench.desk.typed(["cell"])  # typing takes it back
    assert bench.speaker.sentence == ""
    bench.desk.notice.say("Something else.")
    bench.desk.typed(["cells"])
    assert bench.speaker.sentence == "Something else."


def test_what_a_click_changed_is_in_hand(bench: Bench) -> None:
    image = bench.open(GRID)
    cell, other = bench.answered(image, "cell", APART[None]), bench.desk.tracks.new(image, Prompt("other"))
    bench.stage.activate(other.surface)
    bench.desk.delete_object(cell, (0, 12, 12), only=False)
    bench.idle()
    assert bench.stage.active() is cell.surface
    assert bench.speaker.sentence == "Deleted 1 object of 'cell'. One undo brings back what was there."
    assert cell.mask(0).sum() == 100


def test_a_picture_that_was_not_looked_at_has_no_count(bench: Bench) -> None:
    image = bench.open(GRID)
    track = bench.desk.tracks.new(image, Prompt("cell"))
    bench.desk.counting.due(track)
    bench.desk.counting.now()
    bench.idle()
    assert sentence(track, 0, bench.desk.counting.objects[track.key]) == "cell · not looked yet"
    assert Answers.total(track.kept, 1, Scale(flat=True), {}) == "not looked yet"


def test_undo_brings_two_back_side_by_side_and_not_over_each_other(bench: Bench) -> None:
    first = bench.desk.patients.open(phantom(1, (6, 40, 40)).volume)
    second = bench.desk.patients.open(phantom(2, (5, 40, 40)).volume)
    bench.desk.notice.answer(PUT_AWAY, "Keep both")
    both = [one.name for one in bench.stage.beside]
    assert sorted(both) == sorted((first.name, second.name))
    bench.desk.patients.open(phantom(3, (4, 40, 40)).volume)
    assert bench.stage.beside == []
    bench.desk.notice.answer(PUT_AWAY, "Undo")
    assert sorted(one.name for one in bench.stage.images()) == sorted(both)
    assert bench.stage.beside == bench.desk.patients.beside == list(bench.stage.images())


def test_what_i_painted_is_named_and_no_other_mask_or_slice(bench: Bench, tmp_path: Path) -> None:
    desk, image = bench.desk, bench.open(Grid.pixels((5, 40, 60)))
    desk.settings.folder = str(tmp_path / "kept")
    blank = np.zeros((image.count, *image.plan.slice_shape), bool)
    mine, others = bench.answered(image, "mine", blank), bench.answered(image, "another", blank)
    bench.stage.go(image, 1)
    desk.scrolled()
    stroke = np.ones(image.plan.slice_shape, bool)
    mine.surface.paint(1, stroke)
    mine.change_all({2: stroke})  # by a tool, in a slice that was not looked at since
    desk.keeper.accept_painted()
    bench.idle()
    assert bench.speaker.sentence.startswith(
        "1 slice accepted in 'mine', 1 of 2 masks. Not looked at since the mask changed, so not accepted: 2. Kept as"
    )
    assert others.state(1) is SliceState.UNSEEN
    bench.stage.go(image, 2)
    desk.scrolled()
    desk.keeper.accept_painted()
    bench.idle()
    assert bench.speaker.sentence.startswith("1 slice accepted in 'mine'")  # the other was before
    desk.keeper.accept_painted()
    assert bench.speaker.sentence == "There is no slice that you painted and have not accepted."


def test_what_can_be_taught_is_told_with_its_number(bench: Bench) -> None:
    image, learning = bench.open(Grid.pixels((5, 40, 60))), bench.desk.learning
    track = bench.desk.tracks.new(image, Prompt("x"))
    assert learning.standing == "Correct or accept two slices of 'x', and the rest learns from them."
    for row in range(5):
        track.surface.paint(row, np.ones((40, 60), bool))
        if not row:
            assert learning.standing == "Correct or accept one more slice of 'x', and the rest learns from them."
    assert learning.standing == "You have corrected or accepted 5 slices of 'x': enough to teach the rest."
    speck = np.zeros((40, 60), bool)
    speck[3, 4] = True
    for row in (1, 2, 3):
        track.change(row, speck if row > 1 else ~np.ones_like(speck))
        track.say(row, SliceState.EMPTY if row == 1 else SliceState.REVIEWED)
    told = "5 slices of 'x' (1 empty, 2 with too few pixels to teach): enough to teach the rest."
    assert learning.standing == f"You have corrected or accepted {told}"
    assert len(learning.lessons(track)) == 3
    assert enough("x", [np.packbits(np.zeros((4, 8), bool))] * 2).startswith(
        "You have corrected or accepted 2 slices of 'x', all of them empty: what it looks like is learnt from one"
    )
    picture = bench.open(GRID)
    bench.desk.tracks.new(picture, Prompt("cell"))
    assert learning.standing.startswith("A single picture has no other slices")


def test_only_other_voxels_make_a_measured_table_old(bench: Bench) -> None:
    image = bench.open(GRID)
    cell = bench.answered(image, "cell", APART[None])
    then = standing([cell])
    assert then
    for state in (SliceState.REVIEWED, SliceState.UNSEEN):
        cell.say(0, state)
        assert standing([cell]) == then
    bench.answer(cell, {0: APART})  # the same again
    assert standing([cell]) == then
    assert standing([cell, bench.desk.tracks.new(image, Prompt("nothing"))]) == then
    cell.surface.paint(0, ~APART)
    assert standing([cell]) != then


def test_a_warning_stands_once_beside_the_prompt_or_in_the_row_of_its_mask(bench: Bench) -> None:
    image, desk = bench.open(GRID), bench.desk
    desk.knowledge = Knowledge(Card((), (), ""), asked=True)
    cell = bench.answered(image, "cell", APART[None])
    cell.warning = desk.knowledge.warning("cell")
    assert cell.warning.startswith("This model never saw 'cell'.")
    assert desk.row_of(cell).endswith(cell.warning)
    image.typed = ["cell"]
    assert cell.warning not in desk.row_of(cell)
    desk.knowledge = Knowledge(asked=True)  # another model, of which nothing is said beside the prompt
    assert desk.row_of(cell).endswith(cell.warning)


@pytest.mark.parametrize("pressed", [True, False], ids=["its button", "the viewer's undo"])
@pytest.mark.parametrize("accepted", [True, False])
def test_nothing_here_is_undone_on_the_disk_too(bench: Bench, tmp_path: Path, accepted: bool, pressed: bool) -> None:
    desk, image = bench.desk, bench.open(GRID)
    desk.settings.folder = str(tmp_path / "kept")
    track = bench.answered(image, "cell", APART[None])

    def kept() -> tuple[int, list[SliceState]]:
        (case,) = Dataset(tmp_path / "kept").cases()
        return int((case.labels.layers > 0).sum()), [one for states in case.states.values() for one in states]

    if accepted:
        desk.keeper.accept()
    desk.keeper.nothing()
    desk.keeper.autosave()  # a moment later
    bench.idle()
    assert kept() == (0, [SliceState.EMPTY])
    assert "no 'cell' here. Kept as revision " in bench.speaker.sentence
    assert [one.topic for one in bench.speaker.offers] == [NOTHING]  # also after it was stored
    if pressed:
        desk.notice.answer(NOTHING, "Undo")
    else:
        track.surface.undo()  # type: ignore[attr-defined]
    assert np.array_equal(track.mask(0), APART)
    assert not bench.speaker.offers
    assert track.state(0) is (SliceState.REVIEWED if accepted else SliceState.UNSEEN)
    desk.keeper.autosave()
    bench.idle()
    assert f"is as it was before. Kept as revision {2 + accepted}" in bench.speaker.sentence
    assert kept()[1] == ([SliceState.REVIEWED] if accepted else [])


@pytest.mark.parametrize("pressed", [True, False], ids=["its button", "the viewer's undo"])
@pytest.mark.parametrize("accepted", [True, False])
def test_the_mask_comes_back_where_nothing_here_was_undone(tmp_path: Path, accepted: bool, pressed: bool) -> None:
    scan, masks = phantom(4, (4, 40, 60)).volume, np.stack([APART] * 4)
    first = Bench(folder=tmp_path / "kept")
    first.desk.settings.folder = str(tmp_path / "kept")
    image = first.open_volume(scan)
    anterior, posterior = (first.answered(image, name, masks) for name in ("anterior", "posterior"))

    def later() -> None:
        first.desk.keeper.autosave()
        first.idle()

    first.stage.go(image, 2)
    if accepted:
        posterior.surface.shown = False
        first.desk.keeper.accept()
        posterior.surface.shown = True
        first.idle()
    for _ in range(2):  # also when it is said and undone once more
        first.desk.keeper.nothing()
        later()
        if pressed:
            first.desk.notice.answer(NOTHING, "Undo")
        else:
            for track in (anterior, posterior):
                track.surface.undo()  # type: ignore[attr-defined]
        first.desk.keeper.autosave()
        first.idle()
        assert "Slice 2 is as it was before. Kept as revision" in first.speaker.sentence
    first.leave()

    (case,) = Dataset(tmp_path / "kept").cases()
    assert not any(lesson.absent for lesson in case.lessons)
    assert len(case.lessons) == accepted
    again = Bench(folder=tmp_path / "kept")
    again.desk.settings.folder = str(tmp_path / "kept")
    image = again.open_volume(scan)
    again.desk.keeper.look_for(image)
    again.idle()
    states = {one.name: one.state(2) for one in again.desk.tracks.of(image)}
    assert states == {
        "anterior": SliceState.REVIEWED if accepted else SliceState.UNSEEN,
        "posterior": SliceState.UNSEEN,
    }
    assert all(np.array_equal(one.mask(2), APART) for one in again.desk.tracks.of(image))
    again.leave()


def test_the_way_back_from_nothing_here_stands_until_something_else_is_done_to_that_mask(bench: Bench) -> None:
    desk, image = bench.desk, bench.open_volume(phantom(4, (4, 40, 60)).volume)
    cell, other = (bench.answered(image, name, np.stack([APART] * 4)) for name in ("cell", "other"))
    other.surface.shown = False

    def nothing(row: int) -> None:
        bench.stage.go(image, row)
        desk.keeper.nothing()
        assert [one.sentence for one in bench.speaker.offers] == [f"Slice {row}: no 'cell' here."]

    nothing(1)
    nothing(2)
    other.surface.paint(2, ~APART)  # type: ignore[attr-defined]
    desk.notice.answer(NOTHING, "Undo")
    assert [cell.state(row) for row in (1, 2)] == [SliceState.EMPTY, SliceState.UNSEEN]
    desk.keeper.autosave()
    bench.idle()
    assert bench.speaker.sentence.startswith("Slice 1: no 'cell' here. Kept as revision 1")  # what stands of the two
    nothing(2)
    desk.keeper.autosave()
    bench.idle()
    desk.notice.answer(NOTHING, "Undo")
    desk.keeper.autosave()
    bench.idle()  # of slice 1 something is said still
    assert "Slice 2 is as it was before. Kept as revision 3" in bench.speaker.sentence
    nothing(2)
    cell.surface.paint(3, ~APART)  # type: ignore[attr-defined]
    assert not bench.speaker.offers
    nothing(3)
    desk.patients.open(phantom(5, (4, 40, 60)).volume)
    desk.chosen()
    assert NOTHING not in [one.topic for one in bench.speaker.offers]


def test_two_phrasings_of_one_target_are_told_apart_where_both_are_shown(bench: Bench) -> None:
    image = bench.open(Grid.pixels((4, 20, 20)))
    asked = [as_prompt(f"left atrium in {where}") for where in ("cardiac CT", "cardiac MRI", "heart ultrasound")]
    for prompt in asked:
        assert prompt.name == "left atrium"
        bench.ask(prompt, every=True)
    assert [one.name for one in bench.desk.tracks.of(image)] == [
        "left atrium",
        "left atrium (MRI)",
        "left atrium (ultrasound)",
    ]
    assert [one.prompt.text for one in bench.desk.tracks.of(image)] == [one.text for one in asked]
    assert named_beside(Prompt("left heart atrium", "left atrium"), ["left atrium"]).name == "left heart atrium"


def test_what_a_run_says_calls_a_mask_as_it_is_called_beside_another(bench: Bench) -> None:
    bench.open(Grid.from_lps((3, 40, 60), np.eye(4)))
    for text in ("left atrium in cardiac CT", "left atrium in cardiac MRI"):
        bench.ask(Prompt(text, "left atrium"), every=True)
    first, run = bench.desk.running.runs
    assert [one.tracks[0].name for one in (first, run)] == ["left atrium", "left atrium (MRI)"]
    run.write(result(whole(run.image), 1, np.ones((40, 60), bool), 0.9))
    assert run.summary().startswith("Looked in 1 slice; found 'left atrium (MRI)' in 1.")
    surface: Any = run.tracks[0].surface
    surface.alive = False
    run.write(result(whole(run.image), 2, np.ones((40, 60), bool), 0.9))
    assert "of 'left atrium (MRI)' was removed" in run.summary()
    for one in (first, run):
        one.job.cancel()
    bench.idle()
