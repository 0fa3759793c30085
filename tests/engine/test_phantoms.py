"""Every lesion is hit, whatever kind of image it lies in, and nothing is found where there is nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import teach_phantoms
from phantom_model import Taught
from scipy.ndimage import label
from skimage.io import imsave
from storage_orders import rotation

import boltzformer
from boltzformer import Grid, Volume, io
from boltzformer.io.phantom import BRIGHT, DARK, KINDS, Phantom, phantom
from boltzformer.weights import checkpoint

pytestmark = pytest.mark.slow  # a model is taught from nothing first

Centre = tuple[int, int, int]
"""Array indices z, y, x."""
SHAPE = (32, 96, 96)
UNSEEN = (7001, 7002, 7003)
"""Seeds of phantoms; those that the model was taught with begin at a million."""


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


def objects(mask: np.ndarray) -> list[np.ndarray]:
    """Voxels (N, 3) of every connected object; corners connect."""
    labels, count = label(mask, np.ones((3, 3, 3)))
    return [np.argwhere(labels == number) for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", UNSEEN)
@pytest.mark.parametrize("kind", [axial_ct, sagittal_mr, oblique, single_slice, png, rgb])
def test_every_lesion_is_hit_and_nothing_else(
    taught: Taught, seed: int, kind: Callable[[Phantom, Path], Case], tmp_path: Path
) -> None:
    case = kind(phantom(seed, SHAPE), tmp_path)
    labels = boltzformer.segment(case.volume, KINDS, model=taught.engine).labels()
    for number, name in enumerate(KINDS, 1):
        found = sorted(tuple(one.mean(0)) for one in objects(labels.mask(number)))
        expected = sorted(case.centres[name])
        assert len(found) == len(expected), (name, found, expected)  # neither more nor less
        for centre in expected:
            assert min(np.linalg.norm(np.subtract(one, centre)) for one in found) <= 1, (name, found, centre)


def test_no_object_where_there_is_none(taught: Taught) -> None:
    for seed in UNSEEN:
        volume = phantom(seed, SHAPE, kinds=()).volume
        labels = boltzformer.segment(volume, [BRIGHT, DARK], model=taught.engine).labels()
        assert not labels.layers.any()
    only_bright = phantom(UNSEEN[0], SHAPE, kinds=(BRIGHT, BRIGHT, BRIGHT)).volume
    labels = boltzformer.segment(only_bright, [BRIGHT, DARK], model=taught.engine).labels()
    assert len(objects(labels.mask(1))) == 3
    assert not labels.mask(2).any()


def test_a_minute_of_one_core_is_enough_to_teach_it(taught: Taught) -> None:
    assert taught.seconds < 60
    assert checkpoint.UNTRAINED in taught.engine.about.history.data


def test_the_same_seed_teaches_the_same() -> None:
    first, again = ([*teach_phantoms.teach(teach_phantoms.new(layers=2), steps=4)] for _ in range(2))
    assert first == again
    other = [*teach_phantoms.teach(teach_phantoms.new(layers=2, seed=1), steps=4, seed=1)]
    assert other != first
