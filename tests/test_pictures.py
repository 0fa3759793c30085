"""The contact sheet: equal tiles, hard squares, one scale, and lines where they belong."""

import numpy as np

from boltzformer import Engine
from boltzformer.image.geometry import Grid
from boltzformer.image.slicing import SlicePlan
from boltzformer.io.phantom import Phantom
from boltzformer.masks.pictures import CYAN, DIM, FULL, WHITE, brightness, looks_picture, save, slice_picture
from boltzformer.types import LookTrace, SamplingTrace


def made_up(looks: int = 9, side: int = 4) -> SamplingTrace:
    """Look n visits exactly one place, n along the diagonal, with half of the queries; the guess is one corner."""
    layers = []
    for number in range(looks):
        visited, guess = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
        visited[number % side, number % side] = 0.5
        guess[:2, :2] = 0.9
        layers.append(LookTrace(16, 1 / (1 + number), guess, visited, visited))
    return SamplingTrace(tuple(layers))


def tiles_of(sheet: np.ndarray, width: int, height: int) -> list[np.ndarray]:
    return [
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(3)
        for column in range(3)
    ]


def test_nine_equal_tiles_with_the_image_lit_only_where_it_was_visited():
    plan = SlicePlan.of(Grid.pixels((1, 64, 64)), 64)
    picture, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), bool)
    mask[40:50, 40:50] = True
    sheet = looks_picture(picture, plan, made_up(), mask, width=132)
    tile_width = sheet.shape[1] // 3
    assert sheet.shape[1] == 3 * tile_width == 3 * 132
    height = 128 + 14 * 2 + 4 + 4
    for number, tile in enumerate(tiles_of(sheet, tile_width, height)):
        image = tile[:128, 2:130]
        at = (number % 4) * 32 + 20  # inside the square that was visited, away from lines
        dark = ((number + 2) % 4) * 32 + 20
        if number != 8 or at < 70:
            assert (image[at, at] == 200).all(), number
        assert (image[dark, at] == int(200 * DIM)).all(), number
        cyan, white = (image == CYAN).all(axis=2), (image == WHITE).all(axis=2)
        assert cyan.any()  # the guess is drawn in every tile
        assert white.any() == (number == 8)  # the mask only in the last
    lit = tiles_of(sheet, tile_width, height)[0][:128, 2:130, 0] == 200
    assert lit[:32, :32].sum() > 900  # a hard square: nothing of it dim but the line
    assert not lit[:, 33:].any()


def test_the_scale_is_the_same_whatever_the_brightest_place_is():
    assert brightness(np.array([0.0, FULL / 2, FULL, 1.0])).tolist() == [
        np.float32(DIM),
        np.float32((1 + DIM) / 2),
        1.0,
        1.0,
    ]


def test_a_slice_that_is_not_square_is_lit_where_its_tokens_lie():
    plan = SlicePlan.of(Grid.pixels((1, 32, 64)), 64)
    visited = np.zeros((4, 4), np.float32)
    visited[1, 0] = 1  # rows 16…31 of the padded square: the upper half of the slice, at the left
    look = LookTrace(16, 1.0, np.zeros((4, 4), np.float32), visited, visited)
    sheet = looks_picture(
        np.full((32, 64, 3), 100, np.uint8), plan, SamplingTrace((look,)), np.zeros((32, 64), bool), columns=1, width=68
    )
    lit = sheet[:32, 2:66, 0] == 100
    assert lit[:16, :16].all()
    assert not lit[16:].any()
    assert not lit[:, 16:].any()


def test_a_real_trace_makes_a_sheet_that_can_be_saved(engine: Engine, small: Phantom, tmp_path):
    plan, window = engine.plan(small.volume), small.volume.window()
    index = small.lesions[0].centre[2]
    trace = engine.trace(small.volume, small.lesions[0].kind, index, seed=0)
    plain = slice_picture(small.volume, plan, window, index)
    sheet = looks_picture(plain, plan, trace, small.labels.mask(1)[index], title="bright blob")
    save(sheet, tmp_path / "sheet.png")
    assert len(trace.layers) == 9
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
