"""How sure? The same questions with four seeds: masks stay, and N goes where the answers differ."""

import re
from typing import Any

import numpy as np
import pytest
from gui import click, done, layer_of, rows_of, type_lines

from boltzformer.desk.masks.doubting import Doubt, after, within_reach
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.types import SliceState
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock

pytestmark = pytest.mark.slow  # whole stories in the viewer


def test_four_seeds_change_no_mask_and_tell_n_where_they_differ(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    click(qtbot, dock.sure)
    assert dock.message.text() == "There is no answer to doubt yet: run a prompt first."
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.all_slices)
    done(qtbot, dock)
    (track,) = dock.tracks()
    click(qtbot, dock.next)
    assert re.fullmatch(r"Slice \d+: first slice of '.+'\.", dock.message.text())
    layer_of(track).paint((3, 5, 5), 1)
    layer_of(track).paint((3, 5, 5), 0)
    before, scores, runs = rows_of(track).copy(), dict(track.scores), len(track.runs)

    dock.progress.valueChanged.connect(lambda value: value == 2 and click(qtbot, dock.cancel))
    click(qtbot, dock.sure)
    assert dock.cancel.isEnabled()
    done(qtbot, dock)
    dock.progress.valueChanged.disconnect()
    assert dock.message.text().startswith("Cancelled; what was finished is kept. Asked 4 seeds in ")
    assert 2 <= len(track.spread) < 16

    click(qtbot, dock.sure)
    done(qtbot, dock)
    assert dock.progress.value() == 16
    said = re.match(
        r"Asked 4 seeds in 16 slices: they disagree most in slice (\d+)\. N goes there", dock.message.text()
    )
    assert said is not None
    assert sorted(track.spread) == list(range(16))
    assert np.array_equal(rows_of(track), before)
    assert (dict(track.scores), len(track.runs)) == (scores, runs)

    track.say(int(said[1]), SliceState.REVIEWED)
    assert within_reach(track, int(said[1]))  # who looks there sees something
    seen = [row for row in track.spread if within_reach(track, row)]
    assert any(track.spread[row] for row in track.spread if row not in seen)
    rest = max((row for row in seen if row != int(said[1])), key=lambda row: (track.spread[row], -row))
    click(qtbot, dock.sure)
    done(qtbot, dock)
    assert f"disagree most in slice {said[1]}. N goes to slice {rest} first. Masks stay" in dock.message.text()
    track.say(int(said[1]), SliceState.UNSEEN)

    order = sorted((row for row in seen if track.spread[row]), key=lambda row: (-track.spread[row], row))
    assert int(said[1]) == order[0]
    dock.jump(next(row for row in range(16) if row not in order[:2]))
    for place, row in enumerate(order[:2]):
        click(qtbot, dock.next)
        assert dock.row() == row
        most = " most" if place == 0 else ""
        assert dock.message.text() == f"Slice {row}: samples disagree{most} on '{track.name}'."


def test_asking_for_the_next_goes_on_and_comes_round() -> None:
    doubts = [Doubt(4, ""), Doubt(9, ""), Doubt(2, "")]
    assert [after(doubts, row, row).row for row in (7, 4, 9, 2)] == [4, 9, 2, 4]
    assert [after(doubts, row, None).row for row in (7, 4, 9, 2)] == [4, 9, 4, 4]
