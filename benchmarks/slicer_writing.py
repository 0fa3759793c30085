"""How long does 3D Slicer's scene take for a slice of answers? A lesion, an organ, a body that overlap, on real MRML.

300 slices of 512², from the middle outwards, as a run writes them: one tick per slice, with the event that makes views
draw. Beside it the whole mask at once by Slicer's own function; both must lie in the scene alike.

Run: make test-slicer once, then
PYTHONPATH=slicer_extension/BoltzFormer .venv-slicer/bin/python benchmarks/slicer_writing.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "in_slicer"))
import slicer
from scenes import opened_scene, volume_node, voxels_of

from boltzformer.types import Prompt
from BoltzFormerLib.history import NoHistory
from BoltzFormerLib.stage import SlicerStage

COLOURS = ("#E69F00", "#56B4E9", "#009E73")
RADII = {"lesion": 12, "organ": 110, "body": 230}


def ball(shape: tuple[int, int, int], radius: int) -> np.ndarray:
    """(k, j, i) booleans around the middle, as high as it is wide."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    apart = (k - shape[0] // 2) ** 2 + (j - shape[1] // 2) ** 2 + (i - shape[2] // 2) ** 2
    return apart <= radius**2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    shape = tuple(asked.shape)
    masks = {name: ball(shape, radius) for name, radius in RADII.items()}
    print(f"load {os.getloadavg()[0]:.1f}, shape {shape}")
    for _ in range(asked.rounds):
        with opened_scene() as scene:
            volume = volume_node(np.zeros(shape, np.int16))
            stage = SlicerStage(scene, lambda node=volume: node, history=NoHistory())
            image = stage.chosen()
            began = time.perf_counter()
            surfaces = [stage.add(image, Prompt(name), colour) for name, colour in zip(masks, COLOURS, strict=True)]
            allocating = time.perf_counter() - began
            seen = {name: image.plan.view.apply(mask) for name, mask in masks.items()}
            stage.begin(image)
            took = []
            for row in sorted(range(shape[0]), key=lambda one: abs(one - shape[0] // 2)):
                began = time.perf_counter()
                for surface, rows in zip(surfaces, seen.values(), strict=True):
                    surface.write({row: rows[row]})
                for surface in surfaces:
                    surface.draw()
                took.append(1000 * (time.perf_counter() - began))
            alike = all(
                np.array_equal(voxels_of(one.node, one.segment, volume), mask)
                for one, mask in zip(surfaces, masks.values(), strict=True)
            )
            other = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
            other.SetReferenceImageGeometryParameterFromVolumeNode(volume)
            began = time.perf_counter()
            for name, mask in masks.items():
                other.GetSegmentation().AddEmptySegment(name, name)
                slicer.util.updateSegmentBinaryLabelmapFromArray(mask.astype(np.uint8), other, name, volume)
            at_once = time.perf_counter() - began
            same = all(np.array_equal(voxels_of(other, name, volume), mask) for name, mask in masks.items())
            began = time.perf_counter()
            surfaces[1]._note(range(shape[0]))
            checksums = 1000 * (time.perf_counter() - began)
        print(
            f"three masks: mean {statistics.mean(took):.2f}, median {statistics.median(took):.2f} ms a slice, "
            f"99th percentile {np.percentile(took, 99):.2f}, worst {max(took):.2f}; made in {allocating:.2f} s; "
            f"at once {at_once:.2f} s ({1000 * at_once / shape[0]:.2f} ms a slice); checksums {checksums:.0f} ms; "
            f"equal: {alike and same}"
        )


if __name__ == "__main__":
    main()
