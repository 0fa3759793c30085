"""A large picture on the desk: how many tiles is said, each is counted, cancelling stops between two; answers follow
thresholds, sizes and looks as any other's."""

from typing import Any

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid, Session, Volume
from boltzformer.desk.looks.following import OnScreen, looks_of, on_screen
from boltzformer.desk.masks.overview import sentence
from boltzformer.io.phantom import BRIGHT, DARK, phantom


@pytest.fixture(scope="module")
def mosaic() -> Volume:
    part = phantom(3, (1, 96, 96), (BRIGHT, BRIGHT, DARK)).volume.array[0]
    array = np.tile(part, (3, 3))[None]
    return Volume(array, Grid.pixels(array.shape), "SM", name="mosaic")


def said(bench: Bench) -> list[str]:
    """All that is said from now on."""
    sentences: list[str] = []
    speak = bench.speaker.speak

    def heard(sentence: str, *more: Any, **how: Any) -> None:
        sentences.append(sentence)
        speak(sentence, *more, **how)

    bench.speaker.speak = heard  # type: ignore[method-assign]
    return sentences


def test_a_large_picture_is_asked_in_tiles_that_are_counted(bench: Bench, mosaic: Volume) -> None:
    bench.open_volume(mosaic)
    sentences = said(bench)
    far: list[tuple[int, int]] = []
    bench.desk.running.advanced.append(lambda: far.append(bench.desk.running.progress or (0, 0)))
    bench.desk.running.start([BRIGHT, DARK], only_this=True)
    bench.idle()
    assert any("asked in 16 overlapping tiles" in one for one in sentences)
    assert any(one.startswith("9 of 16 tiles") for one in sentences)
    assert [done for done, total in far if total == 16][-1] == 16
    assert bench.speaker.sentence == "Looked at this picture in 16 tiles; found 'bright blob', 'dark blob'."
    bright, _ = bench.desk.tracks.chosen()
    objects = bench.desk.counting.objects[bright.key]
    assert sentence(bright, 0, objects) == (
        f"bright blob · {objects.objects} objects, {objects.voxels:,} px · score {bright.scores[0]:.2f}"
    )
    assert objects.objects == 18

    bench.desk.overview.reapplying.choose(outline=0.95)
    bench.idle()
    assert 0 < np.count_nonzero(bright.surface.copy()) < objects.voxels
    bench.desk.overview.reapplying.reset()
    bench.desk.overview.reapplying.choose_objects(smallest_mm3=0, largest=1)
    bench.idle()
    assert bench.desk.counting.objects[bright.key].objects < 18
    bench.desk.overview.reapplying.choose(existence=1.0)
    bench.idle()
    assert bench.speaker.sentence == (
        "Looked at this picture in 16 tiles; found nothing of 'bright blob', nothing of 'dark blob'."
    )


def test_cancelled_between_two_tiles_nothing_is_shown(bench: Bench, mosaic: Volume) -> None:
    bench.open_volume(mosaic)
    run = bench.desk.running.start([BRIGHT], only_this=True)
    assert run is not None
    bench.until(lambda: run.tiles_done > 2)
    bench.desk.running.cancel()
    assert bench.speaker.sentence == "Stopping after the tile in hand…"
    bench.idle()
    assert bench.speaker.sentence == "Cancelled before all tiles were looked at."
    assert run.tiles_done < 16
    (track,) = bench.desk.tracks.chosen()
    assert not track.surface.copy().any()


def test_the_looks_are_those_of_the_tile_that_holds_most(bench: Bench, session: Session, mosaic: Volume) -> None:
    image = bench.open_volume(mosaic)
    bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    shown = on_screen(bench.stage, bench.desk.tracks)
    assert isinstance(shown, OnScreen)
    assert shown.plan.crop_shape == (96, 96)
    (track,) = bench.desk.tracks.chosen()
    assert track.mask(0)[shown.plan.crop].any()
    looks = looks_of(session, shown, 0, None)
    assert not isinstance(looks, str), looks
    assert looks.picture.shape[:2] == (96, 96) or looks.picture.shape[:2] == image.plan.slice_shape


def test_a_box_of_a_large_picture_is_looked_at_as_a_whole(bench: Bench, mosaic: Volume) -> None:
    from boltzformer.desk.masks.pointing import region_of

    image = bench.open_volume(mosaic)
    bench.how = {"region": region_of(image.volume, np.array([[0.0, 10.0, 10.0], [0.0, 200.0, 200.0]]))}
    run = bench.desk.running.start([BRIGHT], only_this=True)
    bench.idle()
    assert run is not None
    assert run.tiles == 0
