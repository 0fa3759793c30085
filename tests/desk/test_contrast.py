"""The outline of a picture's mask has the colour that is least like the picture; a second one has another."""

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid, Prompt, Volume
from boltzformer.desk.masks.contrast import COLOURS, by_contrast

PINK = (230, 160, 200)


def picture(colour: tuple[int, int, int] | int, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    array = np.asarray(colour) + rng.normal(0, 6, (1, 60, 80, *np.shape(colour)))
    return Volume(array.clip(0, 255).astype(np.uint8), Grid.pixels((1, 60, 80)))


@pytest.mark.parametrize("own", COLOURS)
def test_a_picture_in_one_of_our_colours_gets_another(own: str) -> None:
    red, green, blue = (int(own[place : place + 2], 16) for place in (1, 3, 5))
    order = by_contrast(picture((red, green, blue)))
    assert sorted(order) == sorted(COLOURS)
    assert order[-1] == own


def test_masks_of_a_picture_contrast_and_differ() -> None:
    bench = Bench()
    image = bench.open_volume(picture(PINK))
    first, second = (bench.desk.tracks.new(image, Prompt(name)) for name in "ab")
    assert first.colour != second.colour
    assert {first.colour, second.colour} <= set(by_contrast(picture(PINK))[:2])
    assert first.colour not in ("#CC79A7", "#E69F00")  # pinkish, or nearly as bright
    volume = bench.open(Grid.from_lps((3, 20, 20), np.eye(4) * 0.5 + np.diag([0, 0, 0, 0.5])))
    assert bench.desk.tracks.new(volume, Prompt("x")).colour == COLOURS[0]
    bench.leave()


def test_an_outline_on_stained_tissue_is_not_as_light_as_the_tissue() -> None:
    """Pink, with purple nuclei, and glass that shows through: orange is another colour, but as light as the pink."""
    rng = np.random.default_rng(0)
    parts = ((225, 150, 190), 15, 3000), ((120, 70, 140), 15, 700), ((245, 240, 245), 4, 300)
    pixels = np.concatenate([rng.normal(colour, spread, (count, 3)) for colour, spread, count in parts])
    stained = Volume(pixels.clip(0, 255).astype(np.uint8).reshape(1, 50, 80, 3), Grid.pixels((1, 50, 80)))
    assert not {"#E69F00", "#CC79A7", "#56B4E9"} & set(by_contrast(stained)[:3])
