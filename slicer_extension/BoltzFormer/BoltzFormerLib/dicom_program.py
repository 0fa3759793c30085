"""Runs in the engine's Python, which can write DICOM-SEG: masks as a .seg.nrrd file → a .dcm file beside its series.

Arguments: one of the image's DICOM files, the masks, the file to write. An error is one sentence on standard error.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from boltzformer import io
from boltzformer.errors import BoltzFormerError, GeometryError
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap


def laid(labels: LabelMap, grid: Grid) -> LabelMap:
    """On the grid of the files: Slicer may store the same voxels in another order."""
    view, theirs = labels.grid.canonical(labels.grid.axis_of("axial")), grid.canonical(grid.axis_of("axial"))
    layers = np.stack([np.ascontiguousarray(theirs.undo(view.apply(layer))) for layer in labels.layers])
    corners = (one.corners_lps[np.lexsort(np.round(one.corners_lps, 1).T)] for one in (labels.grid, grid))
    ours, wanted = corners
    if layers.shape[1:] != grid.shape or np.abs(ours - wanted).max() > 0.1 * min(grid.spacing_mm):
        raise GeometryError(
            "The volume in Slicer does not lie where its DICOM files say: export it as NIfTI or .seg.nrrd instead."
        )
    return replace(labels, layers=layers, grid=grid)


def main(source: str, masks: str, target: str) -> None:
    image = io.read(source)
    io.write(laid(io.read_labels(masks), image.grid), target, source=image, overwrite=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BoltzFormerError as error:
        sys.exit(str(error))
