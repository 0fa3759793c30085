"""What a person took back, took over or set back is so the next day, too; on the desk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import Bench

from boltzformer.dataset import Case, Dataset
from boltzformer.desk.keeping.bringing_back import about
from boltzformer.desk.masks.track import Track
from boltzformer.io.phantom import phantom
from boltzformer.types import SliceState

pytestmark = pytest.mark.without_engine
VOLUME = phantom(4, (4, 24, 30)).volume
BELOW = np.ones(VOLUME.array.shape, bool)
BELOW[:, :10] = False
Begin = Callable[[], Bench]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """A day: the image is open, and what was kept of it is back."""

    def day() -> Bench:
        bench = Bench(folder=tmp_path / "kept")
        bench.desk.settings.folder = str(tmp_path / "kept")
        image = bench.stage.open(VOLUME)
        bench.desk.keeper.look_for(image)
        bench.desk.chosen()
        bench.idle()
        return bench

    return day


def masks(bench: Bench) -> dict[str, Track]:
    (image,) = bench.stage.images()
    return {track.name: track for track in bench.desk.tracks.of(image)}


def go(bench: Bench, row: int) -> None:
    (image,) = bench.stage.images()
    bench.stage.go(image, row)
    bench.desk.scrolled()


def ends(bench: Bench) -> None:
    for _ in range(2):
        bench.desk.keeper.autosave()
        bench.idle()
    bench.desk.keeper.leave()
    bench.idle()
    bench.leave()


def answered(bench: Bench, *names: str, scores: Any = 0.9) -> Any:
    (image,) = bench.stage.images()
    return [bench.answered(image, name, BELOW, scores) for name in names]


def offers(bench: Bench) -> list[str]:
    return [one.sentence for one in bench.desk.notice.offers if one.topic == about(bench.stage.images()[0])]


def test_all_is_back_after_a_word_about_two_masks_was_taken_back_in_one(begin: Begin) -> None:
    bench = begin()
    _, other = answered(bench, "cell", "nucleus")
    go(bench, 2)
    bench.desk.keeper.nothing()
    bench.desk.keeper.autosave()
    bench.idle()
    other.surface.undo()
    ends(bench)
    bench = begin()
    assert offers(bench)
    assert masks(bench)["cell"].state(2) is SliceState.EMPTY
    assert np.array_equal(masks(bench)["nucleus"].row(2) > 0, BELOW[2])
    bench.leave()


def test_what_was_saved_is_back_whatever_is_wrong_with_what_was_accepted(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = begin()
    answered(bench, "cell")
    go(bench, 2)
    bench.desk.keeper.accept()
    ends(bench)

    def broken(_: Case) -> None:
        raise ValueError("no such plane")

    monkeypatch.setattr(Case, "annotation", property(broken))
    bench = begin()
    assert offers(bench)
    assert np.array_equal(masks(bench)["cell"].surface.copy() > 0, BELOW)
    assert bench.speaker.sentence == "What was accepted of this image can't be read: no such plane"
    bench.leave()


@pytest.mark.parametrize("when", ["at once", "the next day"])
def test_an_answer_that_was_taken_for_nothing_here_is_there_the_next_day(begin: Begin, when: str) -> None:
    bench = begin()
    (track,) = answered(bench, "cell")
    go(bench, 2)
    bench.desk.keeper.nothing()
    bench.desk.keeper.autosave()
    bench.idle()
    if when == "the next day":
        ends(bench)
        bench = begin()
        track = masks(bench)["cell"]
    bench.answer(track, {2: ~BELOW[2]})
    bench.desk.take(2)
    bench.until(lambda: track.state(2) is SliceState.UNSEEN)
    ends(bench)
    bench = begin()
    track = masks(bench)["cell"]
    assert np.array_equal(track.row(2) > 0, ~BELOW[2])
    assert track.state(2) is SliceState.UNSEEN
    bench.leave()


def test_an_answer_that_is_put_back_for_nothing_here_says_so_again(begin: Begin) -> None:
    bench = begin()
    (track,) = answered(bench, "cell")
    go(bench, 2)
    bench.desk.keeper.nothing()
    bench.idle()
    bench.answer(track, {2: ~BELOW[2]})
    bench.desk.take(2)
    bench.until(lambda: track.state(2) is SliceState.UNSEEN)
    surface: Any = track.surface
    bench.desk.keeper.autosave()
    bench.idle()
    (case,) = Dataset(Path(bench.desk.settings.folder)).cases()
    assert not case.states
    for _ in range(2):
        bench.desk.keeper.autosave()
        bench.idle()
        surface.undo()
        bench.desk.keeper.autosave()
        bench.idle()
        assert bench.speaker.sentence.startswith("Slice 2: no 'cell' here. Kept as ")
        surface.redo()
    surface.undo()
    ends(bench)
    bench = begin()
    assert masks(bench)["cell"].state(2) is SliceState.EMPTY
    bench.leave()


def test_thresholds_that_were_reset_after_something_was_accepted_stay_so(begin: Begin) -> None:
    bench = begin()
    (track,) = answered(bench, "cell", scores={0: 0.35, 3: 0.35})
    reapplying = bench.desk.overview.reapplying
    go(bench, 2)
    reapplying.choose(existence=0.3)
    reapplying.choose_objects(largest=1)
    bench.idle()
    assert track.row(0).any()
    bench.desk.keeper.accept()
    bench.idle()
    reapplying.reset()
    bench.idle()
    shown = track.image.thresholds, track.kept.thresholds
    assert not track.row(0).any()
    ends(bench)
    bench = begin()
    track = masks(bench)["cell"]
    assert (track.image.thresholds, track.kept.thresholds) == shown
    assert track.state(2) is SliceState.REVIEWED
    bench.leave()


@pytest.mark.parametrize("accepts", [False, True])
def test_a_mask_that_was_restored_after_its_prompt_was_run_again_is_back_beside_the_other(
    begin: Begin, accepts: bool
) -> None:
    bench = begin()
    (first,) = answered(bench, "cell")
    surface: Any = first.surface
    surface.alive = False
    (image,) = bench.stage.images()
    bench.answered(image, "cell", ~BELOW)
    surface.alive = True
    bench.desk.keeper.touch(image)
    if accepts:
        go(bench, 2)
        bench.desk.keeper.accept()
    ends(bench)
    bench = begin()
    back = bench.desk.tracks.of(bench.stage.images()[0])
    assert [bool(track.row(2)[0, 0]) for track in back] == [False, True]
    assert [track.state(2) for track in back] == [SliceState.REVIEWED if accepts else SliceState.UNSEEN] * 2
    bench.leave()
