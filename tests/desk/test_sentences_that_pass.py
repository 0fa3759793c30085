"""How a run went is told as long as its masks are there: what was taken back or is gone, no sentence speaks of."""

from dataclasses import replace

import numpy as np
from bench import Bench

from boltzformer.desk.image import OpenImage
from boltzformer.io.phantom import BRIGHT, DARK, Phantom

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
