"""Voxels, millimetres and the canonical view, for all 48 ways to store a volume, oblique and sheared ones included."""

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_orders import ORDERS, grid_of, rotation, stored

from boltzformer import GeometryError, Grid
from boltzformer.image.geometry import PLANES

settings.register_profile("busy machine", deadline=None, max_examples=60)
settings.load_profile("busy machine")

OBLIQUE = rotation(12, -7, 23)
TILT = np.array([(1, 0, 0), (0, 1, np.tan(np.radians(20))), (0, 0, 1)])  # slices slide as in a tilted gantry
SAGITTAL = np.array([(0, 0, 1), (1, 0, 0), (0, -1, 0)], float)  # i → posterior, j → inferior, k → left
CORONAL = np.array([(1, 0, 0), (0, 0, 1), (0, -1, 0)], float)
GRIDS = {
    "isotropic": grid_of((5, 7, 6), (1, 1, 1)),
    "thick slices": grid_of((4, 9, 8), (5, 0.7, 0.7)),
    "oblique": grid_of((5, 7, 6), (2.5, 0.8, 0.8), OBLIQUE),
    "sheared": grid_of((5, 7, 6), (3, 0.9, 0.9), OBLIQUE @ TILT),
    "at 45°": grid_of((5, 7, 6), (1, 1, 1), rotation(45, 0, 0)),
    "at 45° twice": grid_of((5, 7, 6), (1, 1, 1), rotation(45, 45, 0)),
    "all alike": grid_of((6, 6, 6), (1, 1, 1), rotation(45, np.degrees(np.arctan(np.sqrt(0.5))), 0)),
}
anyone = pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))


@st.composite
def grids(draw) -> Grid:
    """Any shape, spacing from microscopy to whole bodies, any turn, up to 30° of gantry tilt, either handedness."""
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    spacing = draw(st.tuples(*[st.floats(1e-4, 20)] * 3))
    turned = rotation(*draw(st.tuples(*[st.floats(-180, 180)] * 3)))
    tilt = np.eye(3)
    tilt[1, 2] = np.tan(np.radians(draw(st.floats(-30, 30))))
    mirrored = np.diag([1.0, 1.0, draw(st.sampled_from((-1.0, 1.0)))])
    origin = draw(st.tuples(*[st.floats(-2000, 2000)] * 3))
    return grid_of(shape, spacing, turned @ tilt @ mirrored, origin)


def every_voxel(grid: Grid) -> np.ndarray:
    """(z, y, x, 3): indices i, j, k."""
    return np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), -1)[..., ::-1]


@given(grids(), st.lists(st.tuples(*[st.floats(-50, 500)] * 3), min_size=1, max_size=5))
def test_voxel_to_world_and_back(grid, points):
    assert np.allclose(grid.voxel(grid.world(points)), points, atol=1e-4)
    far = np.abs(grid.world(points)).max()
    assert np.allclose(grid.world(grid.voxel(grid.world(points))), grid.world(points), atol=1e-9 * (1 + far))


@given(grids())
def test_the_4x4s_say_the_same_as_world(grid):
    corners = np.array(list(product(*((0, n - 1) for n in grid.shape[::-1]))), float)
    whole = np.c_[corners, np.ones(8)]
    assert np.allclose((whole @ grid.lps.T)[:, :3], grid.world(corners), atol=1e-8)
    assert np.allclose((whole @ grid.ras.T)[:, :3], grid.world(corners) * (-1, -1, 1), atol=1e-8)
    assert np.allclose(grid.corners_lps, grid.world(corners))
    assert Grid.from_lps(grid.shape, grid.lps) == grid
    assert np.allclose(grid.direction * grid.spacing_mm, grid.axes)
    assert np.allclose(np.linalg.norm(grid.direction, axis=0), 1)


@given(grids(), st.sampled_from((0, 1, 2)), st.sampled_from((np.uint8, np.int16, np.float32)), st.booleans())
def test_the_canonical_view_is_undone_exactly_and_copies_nothing(grid, axis, dtype, colour):
    array = np.arange(np.prod(grid.shape) * (3 if colour else 1)).astype(dtype).reshape(*grid.shape, *((3,) * colour))
    view = grid.canonical(axis)
    seen = view.apply(array)
    assert np.shares_memory(seen, array)
    assert seen.shape[0] == grid.shape[axis]
    assert seen.shape[3:] == array.shape[3:]
    assert np.array_equal(view.undo(seen), array)


@given(grids(), st.sampled_from((0, 1, 2)))
def test_viewer_coordinates_are_millimetres_along_the_views_own_axes(grid, axis):
    view = grid.canonical(axis)
    scale, translate = grid.canonical_scale_translate(axis)
    assert min(scale) > 0
    seen = view.apply(grid.world(every_voxel(grid)))  # (slice, row, column, 3) LPS
    shown = np.stack(np.meshgrid(*(np.arange(n) for n in seen.shape[:3]), indexing="ij"), -1) * scale + translate
    assert np.allclose(shown @ grid.canonical_directions(axis).T, seen, atol=1e-7)


@anyone
@pytest.mark.parametrize("plane", PLANES)
def test_every_way_to_store_a_volume_looks_the_same(grid, plane):
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    seen = grid.canonical(grid.axis_of(plane)).apply(array)
    shown = grid.canonical_scale_translate(grid.axis_of(plane))
    for order, flips in ORDERS:
        other, its_grid = stored(array, grid, order, flips)
        axis = its_grid.axis_of(plane)
        assert np.array_equal(its_grid.canonical(axis).apply(other), seen), (order, flips)
        assert np.allclose(its_grid.canonical_scale_translate(axis), shown, atol=1e-9)


@anyone
def test_every_way_to_store_a_volume_is_sliced_along_the_same_axis(grid):
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    seen = grid.canonical().apply(array)
    for order, flips in ORDERS:
        other, its_grid = stored(array, grid, order, flips)
        assert order[its_grid.acquisition_axis] == grid.acquisition_axis
        assert np.array_equal(its_grid.canonical().apply(other), seen)


HANGING = {  # LPS direction in which slices, rows and columns run
    "axial": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "coronal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
    "sagittal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
}


@pytest.mark.parametrize("plane", HANGING)
def test_a_radiologist_finds_slices_hung_as_usual(plane):
    grid = grid_of((4, 5, 6), (1, 2, 3))
    for order, flips in ORDERS:
        _, other = stored(np.zeros(grid.shape), grid, order, flips)
        directions = other.canonical_directions(other.axis_of(plane))
        assert np.array_equal(directions.T, HANGING[plane])


# What lies there: shape and spacing (z, y, x), how i, j, k run, and the plane that a radiologist would read it in.
READ_IN = {
    "thin-slice CT, slices thinner than pixels": ((300, 512, 512), (0.625, 0.78, 0.78), np.eye(3), "axial"),
    "abdominal CT": ((63, 512, 512), (5, 0.846, 0.846), np.eye(3), "axial"),
    "CT in a tilted gantry": ((30, 512, 512), (4.5, 0.45, 0.45), TILT, "axial"),
    "CT stored the other way round": ((63, 512, 512), (5, 0.8, 0.8), np.diag([-1.0, -1.0, -1.0]), "axial"),
    "thick-slice axial MR": ((25, 256, 256), (6.5, 0.78, 0.78), rotation(8, 0, 3), "axial"),
    "thick-slice sagittal MR of the spine": ((15, 448, 448), (4, 0.7, 0.7), SAGITTAL, "sagittal"),
    "thick-slice coronal MR": ((30, 320, 320), (3, 0.5, 0.5), CORONAL, "coronal"),
    "oblique short-axis heart": ((12, 216, 256), (8, 1.4, 1.4), rotation(40, -35, 0), "axial"),
    "sagittal brain, pixels 1.0, slices 1.2": ((176, 256, 256), (1.2, 1, 1), SAGITTAL, "sagittal"),
    "sagittal MR with pixels that are not square": ((20, 320, 300), (4, 0.75, 0.7), SAGITTAL, "sagittal"),
    "isotropic brain, stored axially": ((182, 218, 182), (1, 1, 1), np.eye(3), "axial"),
    "isotropic brain, stored sagittally": ((176, 256, 256), (1, 1, 1), SAGITTAL, "axial"),
    "isotropic but for a rounded header": ((176, 256, 256), (1.0, 0.9995, 1.0004), SAGITTAL, "axial"),
    "spacings that creep: neighbours alike, ends not": ((50, 60, 70), (1.016, 1.008, 1.0), SAGITTAL, "axial"),
    "no two spacings alike, none thick": ((90, 100, 110), (1.2, 1.0, 0.9), np.eye(3), "axial"),
    "one coronal slice": ((1, 512, 400), (1, 1, 1), CORONAL, "coronal"),
    "one sagittal slice, thin": ((1, 512, 400), (0.5, 0.5, 0.5), SAGITTAL, "sagittal"),
    "a photograph": ((1, 480, 640), (1, 1, 1), np.eye(3), "axial"),
    "one voxel": ((1, 1, 1), (1, 1, 1), np.eye(3), "axial"),
}


@pytest.mark.parametrize(("shape", "spacing", "turned", "plane"), READ_IN.values(), ids=list(READ_IN))
def test_the_acquisition_axis_is_the_one_that_a_radiologist_would_choose(shape, spacing, turned, plane):
    grid = grid_of(shape, spacing, turned)
    for order, flips in ORDERS:
        _, other = stored(np.broadcast_to(np.uint8(0), shape), grid, order, flips)
        assert PLANES[other.world_axes[other.acquisition_axis]] == plane


def test_an_image_without_geometry_is_seen_as_it_is():
    view = Grid.pixels((1, 48, 64)).canonical()
    assert (view.order, view.flips) == ((0, 1, 2), (False, False, False))
    assert Grid.pixels((1, 48, 64)).canonical_scale_translate() == ((1, 1, 1), (0, 0, 0))


def test_grids_of_one_orientation_lie_right_upon_each_other_in_a_viewer():
    whole = grid_of((20, 30, 40), (2, 1, 1), OBLIQUE)
    part = Grid((4, 5, 6), whole.axes, tuple(whole.world((7, 3, 5))))
    scale, at = whole.canonical_scale_translate()
    part_scale, part_at = part.canonical_scale_translate()
    assert part_scale == scale
    first_of_part = {"z": 5, "y": 3, "x": 7}  # in the whole's voxels; this orientation needs no flip
    assert whole.canonical().flips == (False, False, False)
    assert np.allclose(part_at, np.array(at) + np.array(list(first_of_part.values())) * scale)


def test_an_unrotated_grid_shows_its_true_coordinates():
    grid = grid_of((4, 5, 6), (3, 2, 1), origin=(10.0, 20.0, 30.0))
    assert grid.canonical_scale_translate(grid.axis_of("axial")) == ((3, 2, 1), (30, 20, 10))
    scale, translate = grid.canonical_scale_translate(grid.axis_of("coronal"))
    assert scale == (2, 3, 1)
    assert translate == (20, -39, 10)  # slices → posterior, rows count inferior, hence minus the uppermost z


@given(grids(), st.floats(0, 0.005), st.sampled_from((0, 1, 2)))
def test_same_place_within_one_percent_of_a_voxel(grid, share, axis):
    shift = np.eye(3)[axis] * share * min(grid.spacing_mm)
    near = Grid(grid.shape, grid.axes, np.array(grid.origin) + shift)
    further = np.eye(3)[axis] * (0.02 * min(grid.spacing_mm) + 1e-3)
    far = Grid(grid.shape, grid.axes, np.array(grid.origin) + further)
    assert grid.same_as(near)
    assert not grid.same_as(far)
    assert grid.same_as(far, tolerance_mm=1)


def test_another_shape_or_the_other_direction_is_another_place():
    grid = GRIDS["oblique"]
    assert not grid.same_as(Grid((5, 7, 7), grid.axes, grid.origin))
    _, other = stored(np.zeros(grid.shape), grid, (0, 1, 2), (False, True, False))
    assert not grid.same_as(other)
    rounded = Grid(grid.shape, np.float32(grid.axes), np.float32(grid.origin))
    assert grid.same_as(rounded)


@pytest.mark.parametrize(
    ("shape", "axes", "origin", "words"),
    [
        ((4, 0, 4), np.eye(3), (0, 0, 0), "holds no voxels"),
        ((4, 4), np.eye(3), (0, 0, 0), "holds no voxels"),
        ((4, 4, 4), np.diag([1.0, 0.0, 1.0]), (0, 0, 0), "spacing"),
        ((4, 4, 4), np.full((3, 3), 1e200), (0, 0, 0), "spacing"),
        ((4, 4, 4), [(1, 1, 0), (0, 0, 0), (0, 0, 1)], (0, 0, 0), "lie in one plane"),
        ((4, 4, 4), [(1, 1, 0), (0, 1e-4, 0), (0, 0, 1)], (0, 0, 0), "lie in one plane"),
        ((4, 4, 4), np.full((3, 3), np.nan), (0, 0, 0), "finite numbers"),
        ((4, 4, 4), np.eye(3), (0, np.inf, 0), "finite numbers"),
        ((4, 4, 4), np.eye(4), (0, 0, 0), "finite numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_impossible_grids_are_refused_in_a_sentence(shape, axes, origin, words):
    with pytest.raises(GeometryError, match=words):
        Grid(shape, axes, origin)


def test_an_affine_of_the_wrong_shape_and_an_unknown_plane_are_refused():
    with pytest.raises(GeometryError, match="give a 4×4"):
        Grid.from_lps((1, 2, 3), np.eye(3))
    with pytest.raises(GeometryError, match="choose one of axial, coronal, sagittal"):
        GRIDS["oblique"].axis_of("frontal")


def test_nanometres_are_no_reason_to_refuse():
    grid = grid_of((50, 60, 70), (1e-5, 4e-6, 4e-6))
    assert grid.acquisition_axis == 0
    assert not grid.same_as(Grid(grid.shape, np.array(grid.axes) * 1.1, grid.origin), tolerance_mm=1e-7)


def test_shear_is_noticed_rounding_is_not():
    assert GRIDS["sheared"].sheared
    assert not GRIDS["oblique"].sheared
    assert not Grid((5, 7, 6), np.round(GRIDS["oblique"].axes, 6), (0, 0, 0)).sheared


def test_a_grid_is_a_value_hashable_frozen_and_cheap():
    grid = GRIDS["oblique"]
    twin = Grid(list(grid.shape), np.array(grid.axes), np.array(grid.origin))
    assert twin == grid
    assert len({grid, twin}) == 1
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert grid.lps is grid.lps
    assert grid.canonical(1) is grid.canonical(1)
    with pytest.raises(ValueError, match="read-only"):
        grid.lps[0, 3] = 0
    with pytest.raises(AttributeError):
        grid.shape = (1, 1, 1)
