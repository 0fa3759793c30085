"""Pictures of known sources are set upright, and shown as they are stored when asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from boltzformer.learn.augment import Strength, look_at
from boltzformer.learn.corpus import Picture
from boltzformer.learn.upright import (
    BY_SHAPE,
    EYES_LEFT,
    MIRRORED,
    SPINE_LEFT,
    STORED,
    UPRIGHT,
    UPSIDE_DOWN,
    Turn,
    turn_of,
)


def body(height: int = 60, width: int = 90) -> np.ndarray:
    """An upright axial slice: wider than deep, the spine behind, the liver at the patient's right."""
    plane = np.zeros((height, width), np.uint8)
    plane[5:-5, 5:-5] = 80
    plane[-15:-8, width // 2 - 3 : width // 2 + 3] = 250
    plane[15:40, 8:35] = 140
    return plane


def stored_as(turn: Turn, upright: np.ndarray) -> np.ndarray:
    return np.rot90(upright[:, ::-1] if turn.mirrored else upright, -turn.quarters)


def test_what_is_stored_upside_down_or_mirrored_is_set_upright() -> None:
    plane = body()
    assert np.array_equal(UPSIDE_DOWN.upright(plane[::-1]), plane)
    assert np.array_equal(MIRRORED.upright(plane[:, ::-1]), plane)
    assert np.array_equal(SPINE_LEFT.upright(plane[::-1, ::-1].T), plane)  # along the other diagonal
    assert np.array_equal(EYES_LEFT.upright(np.rot90(plane)), plane)
    for source, turn in STORED.items():
        assert turn_of(source, plane) == turn
    assert turn_of("a stranger's", plane) == UPRIGHT


def test_a_mixed_source_is_decided_by_the_shape_of_the_body() -> None:
    square = np.pad(body(), ((15, 15), (0, 0)))
    for plane in (body(), square):
        assert turn_of("msdlung", plane) == UPRIGHT
        assert turn_of("msdlung", stored_as(SPINE_LEFT, plane)) == SPINE_LEFT
        assert np.array_equal(SPINE_LEFT.upright(stored_as(SPINE_LEFT, plane)), plane)
    for higher, wider in BY_SHAPE.values():
        assert higher != wider


@pytest.mark.parametrize("turn", [Turn(q, m) for q in range(4) for m in (False, True)])
def test_a_picture_that_was_set_upright_can_be_shown_as_it_is_stored(turn: Turn) -> None:
    pixels = torch.from_numpy(np.kron(body(64, 64), np.ones((1, 1), np.uint8)))[None]
    mask = (pixels[0] == 140).to(torch.uint8)
    half = torch.nn.functional.avg_pool2d(pixels[None].float(), 2)[0].to(torch.uint8)
    made = {"liver": mask}, {"liver": ("liver",)}, "g", "CT", "abdomen", "s", False
    picture = Picture(pixels, half, *made, turn=turn)
    still = Strength(rotation=0, zoom=1, stored=1)
    look = look_at(picture, "liver", 64, still, np.random.default_rng(0), whole=True)
    centred = replace(look, matrix=tuple((*row[:2], 0.0) for row in look.matrix))
    expected = stored_as(turn, pixels[0].numpy())
    assert np.array_equal(centred.of(picture)[0].round().numpy(), expected)
