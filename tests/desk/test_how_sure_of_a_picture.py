"""How sure? of a picture: the pixels that seeds dispute are counted, and they are the picture's own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid, SliceResult
from boltzformer.desk.runs.sureness import Sureness
from boltzformer.desk.words import ViewerWords
from boltzformer.image.slicing import SlicePlan

SIDE, SEEN = 64, 32
"""The model sees it at half its size."""


@pytest.fixture
def bench() -> Iterator[Bench]:
    one = Bench()
    yield one
    one.leave()


@pytest.mark.parametrize(
    ("inside", "said"),
    [(200, "in 1,024 of its pixels"), (20, "hardly anywhere")],
)
def test_disputed_pixels_are_the_pictures_own(bench: Bench, inside: int, said: str) -> None:
    image = bench.open(Grid.pixels((1, SIDE, SIDE)))
    track = bench.answered(image, "cell", np.ones((1, SIDE, SIDE), bool))
    needs: dict[str, Any] = {"stage": bench.stage, "tracks": bench.desk.tracks, "words": ViewerWords()}
    run = Sureness(image, [track.prompt], None, track.how[0], **needs, warnings={}, whole=True)
    run.begin(SlicePlan.of(image.volume.grid, SEEN, 0), 1, {})
    spread = np.zeros((1, SEEN, SEEN), np.uint8)
    spread[:, :16, 8:24] = inside
    logits, score = np.full((1, SEEN, SEEN), 64, np.int8), np.array([0.9], np.float32)
    run.write(SliceResult(0, logits, score, spread))
    assert run.summary() == f"Asked 4 seeds about this picture: they disagree {said}. Masks stay as they are."
