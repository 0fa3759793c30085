"""Slicer's core without Slicer: a scene with the logics that the application would give it, made anew for each test."""

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkCollection

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "slicer_extension" / "BoltzFormer"
PHANTOM_MODEL = ROOT / "examples" / "phantom.safetensors"
ENGINE = os.environ.get("BOLTZFORMER_TEST_PYTHON", "")
"""A Python that has the engine, which is not this one: Slicer's own has no torch either."""


@contextmanager
def opened_scene() -> Iterator[Any]:
    """As the application holds it; what was in the last one is gone."""
    scene, application = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    application.SetSliceLogics(vtkCollection())
    application.SetViewLogics(vtkCollection())
    modules = {}
    for name, kind in (
        ("Colors", slicer.vtkMRMLColorLogic),
        ("Volumes", slicer.vtkSlicerVolumesLogic),
        ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic),
        ("Markups", slicer.vtkSlicerMarkupsLogic),
        ("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic),
    ):
        logic = kind()
        logic.SetMRMLScene(scene)
        logic.SetMRMLApplicationLogic(application)
        application.SetModuleLogic(name, logic)
        modules[name.lower()] = types.SimpleNamespace(logic=lambda logic=logic: logic)
    slicer.mrmlScene = scene
    slicer.modules = types.SimpleNamespace(**modules)
    slicer.app = types.SimpleNamespace(
        mrmlScene=lambda: scene,
        applicationLogic=lambda: application,
        processEvents=_nobody_may,
        majorVersion=5,
        minorVersion=12,
    )
    try:
        yield scene
    finally:
        scene.Clear(1)


def _nobody_may(*_: Any) -> None:
    raise AssertionError("processEvents would let anything happen in the middle of something else")


def slice_view(scene: Any, name: str = "Red", orientation: str = "Axial") -> Any:
    """A slice view's node, with the composite node that says what is shown in it."""
    node = scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
    node.SetLayoutName(name)
    node.SetSingletonTag(name)
    node.SetOrientation(orientation)
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetLayoutName(name)
    composite.SetSingletonTag(name)
    scene.AddNode(composite)
    return node


def shown_in(scene: Any, volume: Any) -> None:
    """In the background of every slice view."""
    found = scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    for number in range(found.GetNumberOfItems()):
        found.GetItemAsObject(number).SetBackgroundVolumeID(volume.GetID())


def volume_node(array: Any, ras: Any = None, name: str = "ct") -> Any:
    """A scalar volume of an array (k, j, i), placed by a 4×4."""
    return slicer.util.addVolumeFromArray(
        np.ascontiguousarray(array), ijkToRAS=np.eye(4) if ras is None else ras, name=name
    )


def under_transform(scene: Any, node: Any, matrix: Any) -> Any:
    """Puts the node under a linear transform."""
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


class Editor:
    """A person at the Segment Editor: its own logic, with the strokes that an effect would make."""

    def __init__(self, scene: Any, states: int = 5) -> None:
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(scene)
        self.node = slicer.vtkMRMLSegmentEditorNode()
        self.node.SetSingletonTag("BoltzFormer")
        self.node = scene.AddNode(self.node)
        self.node.SetOverwriteMode(self.node.OverwriteNone)
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetMaximumNumberOfUndoStates(states)

    def edits(self, segmentation: Any, volume: Any) -> None:
        """These two are chosen in the editor."""
        self.logic.SetSegmentationNode(segmentation)
        self.logic.SetSourceVolumeNode(volume)

    def stroke(self, segment: str, where: Any, *, erase: bool = False) -> None:
        """`where`: (k, j, i) booleans of the whole image, or a callable that marks them in a view of it."""
        logic, segmentation = self.logic, self.logic.GetSegmentationNode()
        logic.SaveStateForUndo()
        logic.ResetModifierLabelmapToDefault()
        modifier = logic.GetModifierLabelmap()
        i0, i1, j0, j1, k0, k1 = modifier.GetExtent()
        voxels = vtk_to_numpy(modifier.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
        voxels[where] = 1
        modifier.Modified()
        mode = logic.ModificationModeRemove if erase else logic.ModificationModeAdd
        logic.ModifySegmentByLabelmap(segmentation, segment, modifier, mode, False, False)


def voxels_of(segmentation: Any, segment: str, volume: Any) -> Any:
    """(k, j, i) booleans on the volume's grid, by Slicer's own resampling: a second opinion on where a segment lies."""
    image, reference = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    reference.SetExtent(volume.GetImageData().GetExtent())
    reference.SetImageToWorldMatrix(matrix)
    shape = tuple(reversed(volume.GetImageData().GetDimensions()))
    if not segmentation.GetBinaryLabelmapRepresentation(segment, image) or image.IsEmpty():
        return np.zeros(shape, bool)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, reference, image)
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape) != 0
