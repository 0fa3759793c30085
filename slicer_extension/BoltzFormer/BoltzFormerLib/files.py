"""Files through Slicer's storage nodes: a fresh one each time, for the one that wrote a file fails to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer

from boltzformer.errors import BoltzFormerError
from BoltzFormerLib.translating import tr


def read_volume(scene: Any, path: Path) -> Any:
    """A scalar volume; a left-handed file is turned by Slicer on reading."""
    node, storage = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _stem(path)), _storage("VolumeArchetype", path)
    if not storage.ReadData(node):
        scene.RemoveNode(node)
        why = tr("{file} can't be read as a volume: choose a NIfTI, NRRD or MetaImage file.")
        raise BoltzFormerError(why.format(file=path.name))
    node.CreateDefaultDisplayNodes()
    return node


def read_segmentation(scene: Any, path: Path) -> Any:
    """With names, colours, terms and prompts."""
    node, storage = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _stem(path)), _storage("Segmentation", path)
    if not storage.ReadData(node):
        scene.RemoveNode(node)
        why = tr("{file} can't be read as a segmentation: choose a .seg.nrrd file.")
        raise BoltzFormerError(why.format(file=path.name))
    node.CreateDefaultDisplayNodes()
    return node


def write(node: Any, path: Path) -> None:
    """A volume or a segmentation."""
    storage = _storage("Segmentation" if node.IsA("vtkMRMLSegmentationNode") else "VolumeArchetype", path)
    if not storage.WriteData(node):
        why = tr("{file} could not be written: check the folder, and whether the disk is full.")
        raise BoltzFormerError(why.format(file=path))


def _storage(kind: str, path: Path) -> Any:
    storage = getattr(slicer, f"vtkMRML{kind}StorageNode")()
    storage.SetFileName(str(path))
    return storage


def _stem(path: Path) -> str:
    return path.name.split(".")[0]
