"""A slider that is moved while a slice is a person's, and what an undo leads to then: what is shown is what it says."""

from typing import Any

import numpy as np
import pytest
from bench import Bench, cone

from boltzformer.desk.masks.track import Track

pytestmark = pytest.mark.without_engine


def stroke(track: Track) -> Any:
    mask = np.zeros(track.shape[1:], bool)
    mask[30:33, 30:33] = True
    surface: Any = track.surface
    surface.paint(1, mask)
    return surface


def is_shown(track: Track, row: int = 1) -> bool:
    """As the sliders say, and the model's."""
    return np.array_equal(track.mask(row), track.kept.at_present(row)) and not track.edited(row)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_slice_that_is_the_models_again_is_shown_as_the_sliders_say(bench: Bench, accepted: bool) -> None:
    track, sliders = cone(bench), bench.desk.overview.reapplying
    before = track.mask(1)
    surface = stroke(track)
    if accepted:
        bench.desk.keeper.accept()
    bench.idle()
    sliders.choose(outline=0.9)
    bench.idle()
    assert track.mask(1).sum() == before.sum() + 9
    surface.undo()
    bench.idle()
    bench.idle()
    assert is_shown(track)
    assert track.mask(1).sum() < before.sum()


def test_an_undo_of_what_a_slider_did_leaves_the_slice_the_models(bench: Bench) -> None:
    track, sliders = cone(bench), bench.desk.overview.reapplying
    first = stroke(track)
    first.undo()
    bench.idle()
    sliders.choose(outline=0.9)
    bench.idle()
    steps = track.surface.steps  # type: ignore[attr-defined]
    first.undo()
    bench.idle()
    bench.idle()
    assert is_shown(track)
    assert track.surface.steps == steps - 1  # type: ignore[attr-defined]
    first.redo()
    bench.idle()
    assert is_shown(track)
    sliders.choose(outline=0.6)
    bench.idle()
    assert is_shown(track)


def test_a_dropped_answer_does_not_come_with_the_next_move_of_a_slider(bench: Bench) -> None:
    track, sliders = cone(bench), bench.desk.overview.reapplying
    bench.stage.go(track.image, 1)
    stroke(track)
    bench.idle()
    mine, score = track.mask(1), track.scores[1]
    bench.answer(track, {1: np.ones(track.shape[1:], bool)}, 0.6)
    assert 1 in track.proposals
    bench.desk.drop(1)
    bench.idle()
    assert np.array_equal(track.mask(1), mine)
    assert f"score {score:.2f} here" in bench.desk.row_of(track)
    track.surface.undo()  # type: ignore[attr-defined]
    for outline in (0.55, 0.9):
        sliders.choose(outline=outline)
        bench.idle()
        assert is_shown(track)
        assert track.mask(1).sum() < mine.sum()
