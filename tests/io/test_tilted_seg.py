"""DICOM-SEG of a tilted gantry: exact on its own slices, straight where somebody allows it; never moved in silence."""

import warnings
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from image_files import demand_same_place, phantom, sheared, write_series

from boltzformer import io
from boltzformer.errors import GeometryError
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap, Volume


@pytest.fixture
def tilted(tmp_path: Path) -> Volume:
    write_series(tmp_path / "ct", phantom((9, 20, 10)), sheared((9, 20, 10)))
    return io.read(tmp_path / "ct")


def ball(grid: Grid) -> LabelMap:
    """A ball of 4 mm in the middle, and one beside it that it overlaps."""
    places = grid.world(np.argwhere(np.ones(grid.shape))[:, ::-1]).reshape(*grid.shape, 3)
    middle = grid.world((5, 10, 4))
    layers = [np.linalg.norm(places - middle - [shift, 0, 0], axis=-1) < 4 for shift in (0, 2)]
    named = {1: "left kidney", 2: "liver tumor"}
    return LabelMap(np.stack(layers).astype(np.uint8) * np.array([1, 2], np.uint8)[:, None, None, None], grid, named)


@pytest.mark.parametrize("kind", [".dcm", ".labelmap.dcm"])
def test_the_tilt_is_kept_and_asks_for_consent_to_straighten(tilted: Volume, tmp_path: Path, kind: str) -> None:
    labels = ball(tilted.grid)
    labels.layers[1][labels.layers[0] > 0] = 0
    said: list[str] = []
    (path,) = io.write(labels, tmp_path / f"kept{kind}", source=tilted, tell=said.append)
    assert len(said) == 1
    assert "allow masks that are straightened" in said[0]
    assert "--resample" in said[0]
    assert highdicom.seg.segread(path).get_volume_geometry(allow_missing_positions=True) is None  # no straight stack
    back = io.read_labels(path, grid=tilted.grid)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))


@pytest.mark.parametrize("kind", [".dcm", ".labelmap.dcm"])
def test_straightened_masks_make_a_stack_that_other_readers_place_as_we_do(
    tilted: Volume, tmp_path: Path, kind: str
) -> None:
    straight = io.straightened(tilted.grid)
    labels = io.resample(ball(tilted.grid), straight)
    if kind == ".labelmap.dcm":
        labels.layers[1][labels.layers[0] > 0] = 0
    with warnings.catch_warnings(action="error", category=io.ImageWarning):
        (path,) = io.write(labels, tmp_path / f"straight{kind}", source=tilted)
    seg = highdicom.seg.segread(path)
    volume = seg.get_volume(combine_segments=False, rescale_fractional=False, allow_missing_positions=True)
    lps = volume.affine  # highdicom counts slices, rows, columns
    for label in labels.names:
        ours = straight.world(np.argwhere(labels.mask(label))[:, ::-1])
        marked = np.argwhere(volume.array[..., label - 1])
        theirs = marked @ lps[:3, :3].T + lps[:3, 3]
        assert len(ours) > 10
        np.testing.assert_allclose(sorted(theirs.round(3).tolist()), sorted(ours.round(3).tolist()), atol=2e-3)
    back = io.read_labels(path, grid=straight)
    for label in labels.names:
        np.testing.assert_array_equal(back.mask(label), labels.mask(label))
    series = {pydicom.dcmread(one).SeriesInstanceUID for one in (tmp_path / "ct").iterdir()}
    assert {seg.ReferencedSeriesSequence[0].SeriesInstanceUID} == series
    assert seg.FrameOfReferenceUID == pydicom.dcmread(next((tmp_path / "ct").iterdir())).FrameOfReferenceUID
    with pytest.raises(GeometryError, match="does not lie on the grid of its image"):
        io.read_labels(path, grid=tilted.grid)


def test_a_straightened_mask_without_a_voxel_is_written_too(tilted: Volume, tmp_path: Path) -> None:
    straight = io.straightened(tilted.grid)
    empty = LabelMap(np.zeros((1, *straight.shape), np.uint8), straight, {1: "liver"})
    (path,) = io.write(empty, tmp_path / "none.dcm", source=tilted)
    assert not io.read_labels(path, grid=straight).layers.any()
    demand_same_place(io.read_labels(path).grid, straight)


def test_only_the_straight_grid_of_the_series_itself_is_taken(tilted: Volume, tmp_path: Path) -> None:
    write_series(tmp_path / "other", phantom((9, 20, 10)), sheared((9, 20, 10), 20.0))
    straight = io.straightened(io.read(tmp_path / "other").grid)
    labels = LabelMap(np.ones((1, *straight.shape), np.uint8), straight, {1: "liver"})
    with pytest.raises(GeometryError, match="the masks do not lie on the slices"):
        io.write(labels, tmp_path / "a.dcm", source=tilted)
    with pytest.raises(GeometryError, match="the masks do not lie on the slices"):
        io.write(io.resample(labels, io.straightened(tilted.grid)), tmp_path / "a.rtstruct.dcm", source=tilted)
