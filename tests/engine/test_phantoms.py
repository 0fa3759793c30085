"""Every lesion is hit, whatever kind of image it lies in, and nothing is found where there is nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave
from storage_orders import rotation

import boltzformer
from boltzformer import Grid, Volume, io
from boltzformer.phantom import BRIGHT, DARK, KINDS, Phantom, phantom

Centre = tuple[int, int, int]
"""Array indices z, y, x."""
STRAY = 12
"""Voxels that may lie elsewhere: the smallest lesion has 65, 21 in its middle slice."""


@dataclass(frozen=True)
class Case:
    """A volume, and where its lesions of each kind are."""

    volume: Volume
    centres: dict[str, list[Centre]]


def axial_ct(made: Phantom, folder: Path) -> Case:
    window = made.volume.window()  # the tissue's window shall show as much of it as the MR's percentiles do
    share = (made.volume.array - window.low) / (window.high - window.low)
    hounsfield = np.round(400 * share - 160).astype(np.int16)
    return Case(replace(made.volume, modality="CT", array=hounsfield), centres_of(made))


def sagittal_mr(made: Phantom, folder: Path) -> Case:
    axes = np.array([[0, 0, 2.5], [1.0, 0, 0], [0, -1.0, 0]])  # i runs to posterior, j down, k from right to left
    grid = Grid(made.volume.grid.shape, axes, (-80.0, -50.0, 40.0))
    assert boltzformer.SlicePlan.of(grid, 96).plane == "sagittal"
    return Case(replace(made.volume, grid=grid), centres_of(made))


def oblique(made: Phantom, folder: Path) -> Case:
    grid = Grid(made.volume.grid.shape, rotation(25, -15, 10) * np.array([1, 1, 2.5]), (12.0, -3.0, 700.0))
    return Case(replace(made.volume, grid=grid), centres_of(made))


def single_slice(made: Phantom, folder: Path) -> Case:
    k = made.lesions[0].centre[2]
    grid = Grid.from_lps((1, *made.volume.grid.shape[1:]), np.diag([1.0, 1.0, 2.5, 1.0]))
    return Case(Volume(made.volume.array[k : k + 1], grid, "MR"), in_slice(made, k))


def png(made: Phantom, folder: Path) -> Case:
    k = made.lesions[0].centre[2]
    imsave(folder / "slice.png", gray(made, k))
    return Case(io.read(folder / "slice.png"), in_slice(made, k))


def rgb(made: Phantom, folder: Path) -> Case:
    k = made.lesions[0].centre[2]
    imsave(folder / "colour.png", np.stack([gray(made, k)] * 3, -1))
    volume = io.read(folder / "colour.png")
    return Case(volume, in_slice(made, k))


def gray(made: Phantom, k: int) -> np.ndarray:
    return made.volume.window().apply(made.volume.array[k])


def centres_of(made: Phantom) -> dict[str, list[Centre]]:
    return {kind: [one.centre[::-1] for one in made.lesions if one.kind == kind] for kind in KINDS}


def in_slice(made: Phantom, k: int) -> dict[str, list[Centre]]:
    cut = {kind: [c for c in some if abs(c[0] - k) <= 5] for kind, some in centres_of(made).items()}
    return {kind: [(0, *c[1:]) for c in some if made.labels.layers[0, k, c[1], c[2]]] for kind, some in cut.items()}


@pytest.mark.parametrize("kind", [axial_ct, sagittal_mr, oblique, single_slice, png, rgb])
def test_every_lesion_is_hit_and_nothing_else(
    engine: boltzformer.Engine, made: Phantom, kind: Callable[[Phantom, Path], Case], tmp_path: Path
) -> None:
    case = kind(made, tmp_path)
    labels = boltzformer.segment(case.volume, KINDS, model=engine).labels()
    for number, name in enumerate(KINDS, 1):
        found = labels.mask(number)
        for centre in case.centres[name]:
            away = np.linalg.norm([axis - c for axis, c in zip(np.indices(found.shape), centre, strict=True)], axis=0)
            lesion = np.argwhere(found & (away < 8))
            assert len(lesion), (name, centre)
            assert np.abs(lesion.mean(0) - centre).max() <= 1, (name, centre)
            found &= away >= 8
        assert found.sum() <= STRAY, name


def test_no_object_where_there_is_none(engine: boltzformer.Engine) -> None:
    for seed in (0, 1):
        volume = phantom(seed, (24, 96, 96), kinds=()).volume
        labels = boltzformer.segment(volume, [BRIGHT, DARK], model=engine).labels()
        assert not labels.layers.any()
