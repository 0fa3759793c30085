"""A volume node as a `Volume`: its own voxels and its own matrix, before any parent transform; and places in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from boltzformer.errors import GeometryError
from boltzformer.image.geometry import LPS_FROM_RAS, Grid
from boltzformer.io.kinds import says_sides
from boltzformer.types import Volume
from BoltzFormerLib.translating import tr

STACKED = "DICOM.instanceUIDs"
"""An attribute of volumes that Slicer made of DICOM slices, one behind the other along k."""


def volume_of(node: Any) -> Volume:
    """A copy, so that it may be used beside the viewer. Raises where it can't be segmented, and says what to do."""
    name, data = node.GetName(), node.GetImageData()
    if data is None or not data.GetNumberOfPoints():
        raise GeometryError(
            tr("The volume '{name}' holds no voxels: load it again, or choose another one.").format(name=name)
        )
    values = data.GetNumberOfScalarComponents()
    if values == 3 or node.IsA("vtkMRMLVectorVolumeNode"):
        raise GeometryError(
            tr(
                "The volume '{name}' is in colour: make a gray one with the module 'Vector to Scalar Volume', then "
                "choose that."
            ).format(name=name)
        )
    if values != 1:
        raise GeometryError(
            tr(
                "The volume '{name}' holds {count} images in one (4-D): take one of them out, e.g. load it as a "
                "sequence and choose its proxy volume."
            ).format(name=name, count=values)
        )
    array = np.array(slicer.util.arrayFromVolume(node))
    grid = grid_of(node)
    if grid.sheared:
        raise GeometryError(
            tr(
                "The volume '{name}' is sheared (e.g. a tilted gantry): resample it with the module 'Resample "
                "Scalar/Vector/DWI Volume', or load it with the acquisition transform hardened, then choose the result."
            ).format(name=name)
        )
    axis = 0 if node.GetAttribute(STACKED) else None
    source = source_of(node)
    # every volume of Slicer has a matrix; a picture's is nobody's measure
    placed = says_sides(Path(source)) and grid.shape[0 if axis is None else axis] > 1
    return Volume(array, grid, modality_of(node), name, source, stacking_axis=axis, placed=placed)


def grid_of(node: Any) -> Grid:
    """Where the node's voxels lie, before any parent transform."""
    columns, rows, slices = node.GetImageData().GetDimensions()
    return Grid.from_lps((slices, rows, columns), LPS_FROM_RAS @ ijk_to_ras(node))


def ijk_to_ras(node: Any) -> NDArray[np.float64]:
    """4×4, before any parent transform."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return array_of(matrix)


def array_of(matrix: Any) -> NDArray[np.float64]:
    """A vtkMatrix4x4 as numbers of our own."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def matrix_of(array: NDArray[np.float64]) -> Any:
    """And back."""
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix


def voxel_at(node: Any, world: Any) -> NDArray[np.float64]:
    """A place in the world (RAS, as clicks and cursors are given) → i, j, k of the node, whatever it lies under."""
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld([float(one) for one in world], local)
    found: NDArray[np.float64] = np.linalg.inv(ijk_to_ras(node)) @ np.array([*local, 1.0])
    return found[:3]


def world_of(node: Any, ijk: Any) -> NDArray[np.float64]:
    """i, j, k of the node → the place in the world (RAS)."""
    local, there = ijk_to_ras(node) @ np.array([*ijk, 1.0]), [0.0, 0.0, 0.0]
    node.TransformPointToWorld([float(one) for one in local[:3]], there)
    return np.array(there)


def modality_of(node: Any) -> str:
    """As DICOM says it, where the volume came from there."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene()) if node.GetScene() else None
    item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
    while item and item != hierarchy.GetSceneItemID():
        if told := hierarchy.GetItemAttribute(item, "DICOM.Modality"):
            return str(told)
        item = hierarchy.GetItemParent(item)
    return ""


def source_of(node: Any) -> str:
    """The file it was read from, if there is one: for exports in its kind."""
    first = (node.GetAttribute(STACKED) or "").split()[:1]
    database = getattr(slicer, "dicomDatabase", None)
    if first and database is not None:
        return str(database.fileForInstance(first[0]))
    storage = node.GetStorageNode()
    name = (storage.GetFileName() or "") if storage is not None else ""
    return name if name and Path(name).exists() else ""
