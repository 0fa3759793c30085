"""Runs inside an environment that has 3D Slicer's own code (slicer-core): reads .seg.nrrd files, says what it sees in
each as JSON, and writes each again. Arguments: files. Not a test itself; see test_slicer_core.py."""

import json
import sys
from pathlib import Path

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import reference
from vtkmodules.vtkCommonMath import vtkMatrix4x4


def tag(segment, name):
    value = reference("")
    segment.GetTag(name, value)
    return str(value)


def seen(segmentation, segment_id):
    segment = segmentation.GetSegment(segment_id)
    image, matrix = segment.GetRepresentation("Binary labelmap"), vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    stored = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    marked = np.argwhere(stored == segment.GetLabelValue()) + np.array([k0, j0, i0])
    return {
        "name": segment.GetName(),
        "colour": segment.GetColor(),
        "layer": segmentation.GetLayerIndex(segment_id),
        "terminology": tag(segment, "TerminologyEntry"),
        "prompt": tag(segment, "TextPrompt"),
        "points_ras": (marked[:, ::-1] @ ras[:3, :3].T + ras[:3, 3]).tolist(),
    }


def main(paths):
    answers = {}
    for path in paths:
        scene = slicer.vtkMRMLScene()
        node, reader = scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), slicer.vtkMRMLSegmentationStorageNode()
        scene.AddNode(reader)
        reader.SetFileName(path)
        assert reader.ReadData(node)
        segmentation = node.GetSegmentation()
        ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
        answers[Path(path).name] = [seen(segmentation, one) for one in ids]
        writer = slicer.vtkMRMLSegmentationStorageNode()
        scene.AddNode(writer)
        writer.SetFileName(str(Path(path).with_name("slicer_" + Path(path).name)))
        assert writer.WriteData(node)
    sys.stdout.write(json.dumps(answers))


main(sys.argv[1:])
