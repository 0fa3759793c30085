"""How a run went is told as long as its masks are there: what was taken back or is gone, no sentence speaks of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench import Bench, result, whole

from boltzformer import Grid, Prompt
from boltzformer.desk.image import OpenImage
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.types import SliceState

LOOKED = "Looked in 1 slice; found 'bright blob' in "


def asked(bench: Bench, made: Phantom, *prompts: str) -> OpenImage:
    image = bench.open_volume(made.volume)
    bench.desk.running.start(prompts, only_this=True)
    bench.idle()
    return image


def test_a_run_that_was_taken_back_is_not_told_when_its_image_is_chosen_again(bench: Bench, small: Phantom) -> None:
    desk, first = bench.desk, asked(bench, small, BRIGHT)
    assert bench.speaker.sentence.startswith(LOOKED)
    desk.revert()
    assert bench.speaker.sentence == "Took the last run back in 1 mask slice."
    asked(bench, replace(small, volume=replace(small.volume, name="another")), BRIGHT)
    assert bench.speaker.sentence.startswith(LOOKED)
    bench.stage.choose(first)
    desk.chosen()
    assert bench.speaker.sentence == ""


def test_nor_is_one_whose_masks_are_gone(bench: Bench, small: Phantom) -> None:
    desk, image = bench.desk, asked(bench, small, BRIGHT, DARK)
    told = bench.speaker.sentence
    assert told.startswith("Looked in 1 slice; ")
    first, second = desk.tracks.of(image)
    bench.stage.remove(first.surface)
    desk.chosen()
    assert bench.speaker.sentence == told  # of the other one it is still true
    bench.stage.remove(second.surface)
    desk.chosen()
    assert bench.speaker.sentence == ""


def test_what_was_done_in_one_step_is_told_until_it_is_undone(bench: Bench, small: Phantom) -> None:
    desk, image = bench.desk, bench.open_volume(small.volume)
    track = bench.answered(image, BRIGHT, np.ones((image.count, *image.plan.slice_shape), bool))
    desk.delete_object(track, (2, 3, 3), only=False)
    bench.idle()
    assert bench.speaker.sentence.startswith("Deleted 1 object of 'bright blob' in 16 slices.")
    track.surface.undo()  # type: ignore[attr-defined]
    assert bench.speaker.sentence == ""
    desk.notice.say("Something else.")
    track.surface.redo()  # type: ignore[attr-defined]
    assert bench.speaker.sentence == "Something else."


def test_deleting_an_object_says_which_slices_are_not_accepted_any_more(
    bench: Bench, small: Phantom, tmp_path: Path
) -> None:
    desk, image = bench.desk, bench.open_volume(small.volume)
    desk.settings.folder = str(tmp_path / "kept")
    found = np.zeros((image.count, *image.plan.slice_shape), bool)
    found[2:7, 3:6, 3:6] = found[9, 3:6, 3:6] = True
    track = bench.answered(image, BRIGHT, found)
    for row in (3, 4, 6, 9):
        track.say(row, SliceState.REVIEWED)
    desk.delete_object(track, (2, 3, 3), only=False)
    bench.idle()
    assert "in 5 slices. Slices 3-4, 6 are no longer accepted. One undo" in bench.speaker.sentence
    desk.delete_object(track, (9, 3, 3), only=False)
    bench.idle()
    assert "in 1 slice. Slice 9 is no longer accepted. One undo" in bench.speaker.sentence


def test_an_undo_out_of_sight_says_where_and_that_a_slice_is_not_accepted_any_more(
    bench: Bench, small: Phantom, tmp_path: Path
) -> None:
    desk, image = bench.desk, bench.open_volume(small.volume)
    desk.settings.folder = str(tmp_path / "kept")
    track = bench.answered(image, BRIGHT, np.ones((image.count, *image.plan.slice_shape), bool))
    for row in (3, 4):
        bench.stage.go(image, row)
        track.surface.paint(row, np.eye(*image.plan.slice_shape, dtype=bool), 0)  # type: ignore[attr-defined]
    desk.keeper.accept()
    bench.idle()
    bench.stage.go(image, 9)
    desk.notice.say("")
    for step, said in (
        (track.surface.undo, "That changed slice 4, which is no longer accepted."),  # type: ignore[attr-defined]
        (track.surface.undo, "That changed slice 3."),  # type: ignore[attr-defined]
        (track.surface.redo, "That changed slice 3."),  # type: ignore[attr-defined]
    ):
        step()
        assert bench.speaker.sentence == said
    bench.stage.go(image, 4)
    track.surface.redo()  # type: ignore[attr-defined]
    assert track.state(4) is not SliceState.UNSEEN
    assert not bench.speaker.sentence  # it is seen


def test_what_was_accepted_is_told_until_one_of_the_masks_is_another(bench: Bench, tmp_path: Path) -> None:
    desk = bench.desk
    desk.settings.folder = str(tmp_path / "kept")
    mask = np.zeros((1, 20, 20), bool)
    mask[0, 4:8, 4:8] = True
    image = bench.open(Grid.pixels((1, 20, 20)))
    track, *_ = [bench.answered(image, name, mask) for name in ("one", "two", "three")]
    track.surface.paint(0, np.eye(20, dtype=bool))  # type: ignore[attr-defined]
    desk.keeper.accept()
    bench.idle()
    assert "accepted in all 3 masks. Kept as revision 1 in " in bench.speaker.sentence
    track.surface.undo()  # type: ignore[attr-defined]
    assert bench.speaker.sentence == ""
    track.surface.redo()  # type: ignore[attr-defined]
    bench.idle()
    desk.leave_out(track, (0, 5, 5), out=True)
    desk.keeper.autosave()
    bench.idle()
    assert bench.speaker.sentence.startswith("'one' is accepted as it counts now.")
    desk.leave_out(track, (0, 5, 5), out=False)
    assert bench.speaker.sentence == ""
    desk.keeper.autosave()
    bench.idle()
    assert bench.speaker.sentence.startswith("'one' is accepted as it counts now. Kept as revision 3")
    track.surface.paint(0, mask[0], 0)  # type: ignore[attr-defined]
    assert bench.speaker.sentence == ""
    desk.keeper.accept()
    track.surface.paint(0, np.eye(20, dtype=bool)[::-1])  # type: ignore[attr-defined]  # before it is on the disk
    bench.idle()
    assert "accepted" not in bench.speaker.sentence


def test_a_slice_that_was_only_accepted_is_not_told_as_painted(bench: Bench, small: Phantom) -> None:
    bench.open_volume(small.volume)
    bench.stage.go(bench.stage.images()[0], 7)
    for text in (BRIGHT, DARK):
        bench.desk.running.start([text], only_this=True)
        bench.idle()
    bright, dark = bench.desk.tracks.chosen()
    bright.say(7, SliceState.REVIEWED)
    bench.desk.running.start([BRIGHT, DARK], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.endswith(" 1 slice you accepted stayed as before.")
    stroke = bright.mask(7)
    stroke[0, 0] = True
    bright.surface.paint(7, stroke)  # type: ignore[attr-defined]
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert bench.speaker.sentence.endswith(" 1 slice you edited stayed as painted.")
    assert dark.kept.looked


def test_what_the_size_filter_hides_in_a_picture_was_found(bench: Bench) -> None:
    image, mask = bench.open(Grid.pixels((1, 20, 20))), np.zeros((1, 20, 20), bool)
    mask[0, 4:8, 4:8] = True
    track = bench.answered(image, "cell", mask)
    plan = whole(image)
    job: Any = None
    run = bench.desk.running.new(image, [track.prompt], job, {}, warnings={}, whole=True)
    run.begin(plan, 1, {"thresholds": {"existence": 0.5}})
    run.write(result(plan, 0, mask[0], 0.9))
    assert run.summary() == "Looked at this picture; found 'cell'."
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=1e9, largest=None)
    bench.idle()
    assert run.summary() == "Looked at this picture; found 'cell' (the size filter hides 1 object)."


def test_where_the_answer_is_what_was_painted_nothing_is_offered_and_it_is_said(bench: Bench) -> None:
    image, mask = bench.open(Grid.pixels((3, 20, 20))), np.zeros((20, 20), bool)
    mask[4:8, 4:8] = True
    track = bench.answered(image, "cell", [mask, mask, mask])
    plan = whole(image)
    job: Any = None
    for row in (1, 2):
        track.change(row, mask.T[::-1])
    told = {(1,): "1 slice you edited stayed as painted; the answer is the same."}
    told[1, 2] = "2 slices you edited stayed as painted; the answer is the same in 1 of them."
    for rows, sentence in told.items():
        run = bench.desk.running.new(image, [track.prompt], job, {}, warnings={}, whole=True)
        run.begin(plan, len(rows), {"thresholds": {"existence": 0.5}})
        for row in rows:
            run.write(result(plan, row, mask.T[::-1] if row == 1 else mask, 0.9))
        assert run.summary().endswith(sentence)
        assert set(track.proposals) == set(rows) - {1}


def test_a_model_that_shows_masks_from_another_score_says_so_once(bench: Bench) -> None:
    image, mask = bench.open(Grid.pixels((3, 20, 20))), np.eye(20, dtype=bool)
    job: Any = None
    run: Any = None

    def told(gate: float) -> str:
        nonlocal run
        how = {"model": "models/mine.safetensors"}
        run = bench.desk.running.new(image, [Prompt("cell")], job, how, warnings={}, whole=True)
        run.begin(whole(image), 1, {"thresholds": {"existence": gate}})
        run.write(result(whole(image), 1, mask, 0.9))
        bench.desk.overview.show_tracks()
        assert bench.desk.overview.reapplying.thresholds.existence == (gate if image.thresholds is None else 0.7)
        return run.summary().removeprefix("Looked in 1 slice; found 'cell' in 1.")

    assert told(0.85) == ""  # no mask was shown before
    assert told(0.55) == " Score from 0.55 now, not 0.85, as 'mine' was checked."
    assert told(0.55) == ""
    assert told(0.85) == " Score from 0.85 now, not 0.55, as 'mine' was checked."
    bench.desk.overview.reapplying.choose(existence=0.7)
    assert "Score from" not in run.summary()
    assert told(0.55) == ""  # what a person chose stays
