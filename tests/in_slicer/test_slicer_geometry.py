"""Where a mask lies: every storage order, plain, oblique and under a parent transform, by Slicer's own reckoning."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from scenes import shown_in, slice_view, under_transform, volume_node
from storage_orders import ORDERS, grid_of, rotation, stored

from boltzformer import GeometryError, Prompt
from boltzformer.desk.scale import Scale
from BoltzFormerLib.geometry import volume_of, voxel_at, world_of
from BoltzFormerLib.history import NoHistory
from BoltzFormerLib.stage import SlicerStage

SHAPE, SPACING = (5, 6, 7), (3.0, 1.0, 0.8)
LIES = ("plain", "oblique", "under a transform")
pytestmark = pytest.mark.slicer("Geometry: 48 storage orders, oblique, parent transforms", "real MRML")


def exported(scene: Any, segmentation: Any, segment: str, volume: Any) -> Any:
    """(k, j, i) booleans on the volume's grid, through the world: transforms of both count."""
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    done = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
        segmentation, [segment], labels, volume, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    )
    assert done
    return slicer.util.arrayFromVolume(labels) > 0


@pytest.mark.parametrize("lies", LIES)
def test_masks_of_all_48_storage_orders_lie_where_their_voxels_are(scene: Any, lies: str) -> None:
    rng = np.random.default_rng(3)
    turned = np.eye(3) if lies == "plain" else rotation(9, -4, 12)
    array, grid = rng.integers(0, 999, SHAPE).astype(np.int16), grid_of(SHAPE, SPACING, turned)
    truth = rng.random(SHAPE) < 0.3
    above = np.eye(4)
    above[:3, :3], above[:3, 3] = rotation(20, 35, -50), (7.3, -40, 12)
    for order, flips in ORDERS:
        moved, place = stored(array, grid, order, flips)
        mask, _ = stored(truth, grid, order, flips)
        node = volume_node(moved, place.ras)
        if lies == "under a transform":
            under_transform(scene, node, above)
        stage = SlicerStage(scene, lambda node=node: node, history=NoHistory())
        image = stage.chosen()
        assert np.array_equal(image.volume.array, moved)
        assert image.volume.grid.same_as(place)
        surface = stage.add(image, Prompt("lesion"), "#E69F00")
        surface.write(dict(enumerate(image.plan.view.apply(mask))))
        surface.draw()
        assert np.array_equal(exported(scene, surface.node, surface.segment, node), mask)
        # the same places in the world, however the volume is stored
        k, j, i = np.argwhere(mask)[0].tolist()
        there = world_of(node, (i, j, k))
        assert np.allclose(voxel_at(node, there), (i, j, k), atol=1e-4)
        scene.Clear(1)


def test_a_volume_without_a_turn_of_1_mm_is_measured_in_mm_and_a_picture_is_not(scene: Any, tmp_path: Path) -> None:
    node = volume_node(np.zeros(SHAPE, np.int16), np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert Scale.of(volume_of(node)).size_unit == "mm³"
    picture = tmp_path / "cells.png"
    picture.touch()
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(picture))
    assert Scale.of(volume_of(node)).size_unit == "voxels"


def test_a_slice_view_says_which_slice_is_on_screen_and_goes_to_another(scene: Any) -> None:
    turned, above = rotation(9, -4, 12), np.eye(4)
    above[:3, :3] = rotation(0, 0, 25)
    view = slice_view(scene)
    other = slice_view(scene, "Yellow", "Sagittal")
    for order, flips in ORDERS[::5]:
        for lies in LIES:
            array, grid = np.zeros((9, 10, 11), np.int16), grid_of((9, 10, 11), (3.0, 1.0, 1.0), turned)
            if lies == "plain":
                grid = grid_of((9, 10, 11), (3.0, 1.0, 1.0))
            moved, place = stored(array, grid, order, flips)
            node = volume_node(moved, place.ras)
            if lies == "under a transform":
                under_transform(scene, node, above)
            shown_in(scene, node)
            view.SetOrientation("Axial")
            for one in (view, other):
                one.JumpSliceByOffsetting(-9999, -9999, -9999)
            stage = SlicerStage(scene, lambda node=node: node, history=NoHistory())
            image = stage.chosen()
            assert not stage.shows(image)  # it looks beside the image
            stage.go(image, 4)
            assert stage.shows(image) is (lies == "plain")
            assert stage.turn(image) is (lies != "plain")
            for row in (0, 4, 8):
                stage.go(image, row)
                assert stage.row(image) == row
                assert stage.shows(image)
                assert stage.sees(image, row)
            scene.RemoveNode(node)


def test_what_cannot_be_segmented_says_what_to_do(scene: Any) -> None:
    def refused(node: Any) -> str:
        with pytest.raises(GeometryError) as caught:
            volume_of(node)
        return str(caught.value)

    colour = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colour, np.zeros((1, 4, 5, 3), np.uint8))
    assert "Vector to Scalar Volume" in refused(colour)
    many, frames = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "perfusion"), vtk.vtkImageData()
    frames.SetDimensions(3, 4, 5)
    frames.AllocateScalars(vtk.VTK_SHORT, 6)
    many.SetAndObserveImageData(frames)
    assert "sequence" in refused(many)
    slanted = np.eye(4)
    slanted[1, 2] = 0.4
    assert "tilted gantry" in refused(volume_node(np.zeros((9, 9, 9), np.int16), slanted))
    assert "no voxels" in refused(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


def test_the_same_voxels_are_not_copied_twice_and_others_are(scene: Any) -> None:
    node = volume_node(np.zeros((3, 4, 5), np.int16))
    stage = SlicerStage(scene, lambda: node, history=NoHistory())
    image = stage.chosen()
    before = image.volume
    assert image.volume is before
    slicer.util.updateVolumeFromArray(node, np.ones((3, 4, 5), np.int16))
    assert image.volume is not before
    assert (image.volume.array == 1).all()
