"""Which masks Accept would take is said before anybody presses it."""

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine


def test_accept_says_beforehand_which_masks_it_takes(bench: Bench) -> None:
    assert (bench.desk.accepts.button, bench.desk.accepts.words) == ("Accept", "")
    image = bench.open(Grid.pixels((4, 20, 20)))
    found = np.ones((4, 20, 20), bool)
    bench.answered(image, "liver", found)
    assert (bench.desk.accepts.button, bench.desk.accepts.words) == ("Accept", "")
    bench.answered(image, "spleen", found)
    assert (bench.desk.accepts.button, bench.desk.accepts.words) == ("Accept", "accepts 'liver', 'spleen'")
    cyst, _ = bench.answered(image, "cyst", found), bench.answered(image, "stone", found[:1])
    cyst.surface.shown = False
    bench.stage.go(image, 2)
    told = bench.desk.accepts
    assert told.button == "Accept 2 of 4"
    assert told.words == "accepts 'liver', 'spleen' · not 'cyst' (hidden), 'stone' (not asked here)"
    bench.desk.keeper.accept()
    bench.idle()
    assert bench.speaker.sentence.startswith("Slice 2 accepted in 'liver', 'spleen', 2 of 4 masks.")
    for track in bench.desk.tracks.chosen():
        track.surface.shown = False
    assert bench.desk.accepts.words.startswith("accepts nothing · not 'liver' (hidden), ")


def test_an_accepted_slice_that_takes_another_answer_is_said_to_be_accepted_no_longer(bench: Bench) -> None:
    image = bench.open(Grid.pixels((4, 20, 20)))
    found = np.ones((4, 20, 20), bool)
    tracks = [bench.answered(image, name, found) for name in ("liver", "spleen")]
    bench.stage.go(image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    found[:, :10] = False
    for track in tracks:
        bench.answer(track, {2: found[2]})
    bench.desk.notice.say("Looked in 1 slice.")
    bench.desk.take(2)
    bench.idle()
    said = "Slice 2 took the new answer, so it is no longer accepted in 'liver', 'spleen'."
    assert bench.speaker.sentence == f"Looked in 1 slice. {said}"
    bench.desk.past_click()
    assert bench.speaker.sentence == "Looked in 1 slice."
    assert not bench.desk.accepts.words.startswith("accepts nothing")


def test_a_slice_in_which_nothing_is_marked_is_accepted_with_a_word(bench: Bench) -> None:
    image = bench.open(Grid.pixels((4, 20, 20)))
    found = np.ones((4, 20, 20), bool)
    found[2] = False
    bench.answered(image, "lesion", found)
    bench.stage.go(image, 2)
    bench.desk.keeper.accept()
    bench.idle()
    assert bench.speaker.sentence.startswith("Slice 2 accepted. Nothing of 'lesion' is marked there. Kept as")


def test_what_was_accepted_on_an_earlier_day_is_not_said_to_be_not_accepted(bench: Bench) -> None:
    image = bench.open(Grid.pixels((6, 20, 20)))
    liver = bench.answered(image, "liver", np.ones((6, 20, 20), bool))
    for row in (3, 5):
        bench.stage.go(image, row)
        bench.desk.keeper.accept()
    bench.idle()
    image.seen.clear()  # as it is after a start
    bench.stage.go(image, 0)
    bench.desk.keeper.accept_all()
    bench.idle()
    assert "Never on screen, so not accepted: 1-2, 4." in bench.speaker.sentence
    assert liver.state(1) is SliceState.UNSEEN


def test_accept_speaks_of_a_slice_only_where_there_are_some(bench: Bench) -> None:
    volume, picture = bench.open(Grid.pixels((6, 20, 20))), bench.open(Grid.pixels((1, 20, 20)))
    for image in (volume, picture):
        bench.answered(image, "liver", np.ones((image.count, 20, 20), bool))
        bench.stage.choose(image)
        assert bench.desk.accepts.picture == (image is picture)


def test_a_sentence_about_an_accepted_slice_goes_with_it_also_after_something_was_stored_in_silence(
    bench: Bench,
) -> None:
    image = bench.open(Grid.pixels((4, 20, 20)))
    found = np.ones((4, 20, 20), bool)
    track = bench.answered(image, "liver", found)
    for row in (0, 2):
        bench.stage.go(image, row)
        bench.desk.keeper.accept()
        bench.idle()
    assert bench.speaker.sentence.startswith("Slice 2 accepted. Kept as revision 2")
    bench.desk.keeper.store("", of=[(track, 0)])
    bench.idle()
    found[2, :10] = False
    track.change(2, found[2])
    bench.desk.keeper.changed(track)
    bench.idle()
    assert "Slice 2 accepted" not in bench.speaker.sentence
