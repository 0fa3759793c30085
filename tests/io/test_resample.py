"""Masks on another grid, when asked."""

import numpy as np
from image_files import corners, demand_same_place, phantom, rotation, sheared, stored

from boltzformer import io
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap


def test_another_storage_order_of_the_same_voxels_is_exact() -> None:
    grid = stored((0, 1, 2), (1, 1, 1), "oblique")
    labels = LabelMap((phantom(grid.shape) % 3).astype(np.uint8)[None], grid, {1: "a", 2: "b"})
    flipped = grid.lps @ np.array([[0, 0, -1, 6], [1, 0, 0, 0], [0, -1, 0, 4], [0, 0, 0, 1.0]])
    other = Grid.from_lps((7, 5, 6), flipped)
    moved = io.resample(labels, other)
    for label in labels.names:
        theirs = {tuple(p) for p in np.round(other.world(np.argwhere(moved.mask(label))[:, ::-1]), 3)}
        ours = {tuple(p) for p in np.round(grid.world(np.argwhere(labels.mask(label))[:, ::-1]), 3)}
        assert theirs == ours
    np.testing.assert_array_equal(io.resample(moved, grid).layers, labels.layers)


def test_what_lies_outside_the_masks_grid_is_empty_and_the_same_grid_is_left_alone() -> None:
    grid = Grid.pixels((4, 4, 4))
    labels = LabelMap(np.ones((1, 4, 4, 4), np.uint8), grid, {1: "all"})
    far = Grid.from_lps((4, 4, 4), np.array([[1, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert io.resample(labels, far).layers[0].sum(axis=(0, 1)).tolist() == [16, 16, 0, 0]
    assert io.resample(labels, grid) is labels


def test_a_straightened_grid_has_right_angles_and_covers_the_tilted_one() -> None:
    tilted = sheared((9, 20, 10))
    straight = io.straightened(tilted)
    np.testing.assert_allclose(straight.direction.T @ straight.direction, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(straight.spacing_mm[:2], tilted.spacing_mm[:2])
    inside = straight.voxel(corners(tilted))
    assert (inside >= -1e-3).all()
    assert (inside <= np.array(straight.shape[::-1]) - 1 + 1e-3).all()
    ball = np.linalg.norm(tilted.world(np.argwhere(np.ones(tilted.shape))[:, ::-1]) - tilted.world((5, 10, 4)), axis=1)
    labels = LabelMap((ball < 5).reshape(1, *tilted.shape).astype(np.uint8), tilted, {1: "ball"})
    moved = io.resample(labels, straight)
    centre = straight.world(np.argwhere(moved.mask(1))[:, ::-1]).mean(axis=0)
    assert np.linalg.norm(centre - tilted.world((5, 10, 4))) < 0.5


def test_a_grid_without_shear_is_its_own_straight_one() -> None:
    for mirror in (1, -1):
        lps = np.eye(4)
        lps[:3, :3] = rotation("oblique") * [0.7, 0.9, 3.3 * mirror]
        grid = Grid.from_lps((5, 6, 7), lps)
        demand_same_place(io.straightened(grid), grid)
