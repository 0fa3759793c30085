"""3D Slicer's own code opens our .seg.nrrd files, and we open what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import ORDERS, sheared, stored

from boltzformer import io
from boltzformer.knowledge.vocabulary import label_colour, slicer_terminology
from boltzformer.types import LabelMap

ENVIRONMENT = Path(__file__).parents[2] / ".venv-slicer"
PACKAGE = "slicer-core==5.12.4.0"


def slicer_python() -> Path:
    """The Python of an environment of its own (slicer-core brings its own VTK), made once."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (ENVIRONMENT / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)
        (ENVIRONMENT / "ready").touch()
    return python


def masks_on(grid) -> LabelMap:
    layers = np.zeros((2, *grid.shape), np.uint8)
    layers[0, 1:4, 1:4, 2:5] = 1
    layers[1, 2:5, 2:6, 1:4] = 2
    return LabelMap(layers, grid, {1: "left kidney", 2: "lung nodule in chest CT"})


def in_order(points) -> np.ndarray:
    points = np.asarray(points)
    return points[np.lexsort(np.round(points, 2).T)]


@pytest.mark.slow
def test_slicer_sees_names_colours_terms_overlaps_and_places_as_we_do(tmp_path: Path) -> None:
    grids = {f"order{n}": stored(*way, "oblique") for n, way in enumerate(ORDERS)} | {"tilted": sheared()}
    masks = {f"{name}.seg.nrrd": masks_on(grid) for name, grid in grids.items()}
    for name, labels in masks.items():
        io.write(labels, tmp_path / name)
    program = Path(__file__).with_name("slicer_reads.py")
    paths = [str(tmp_path / name) for name in masks]
    done = subprocess.run([slicer_python(), program, *paths], capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout[done.stdout.index("{") :])
    assert len(answers) == 49
    for name, labels in masks.items():
        theirs = io.read_labels(tmp_path / f"slicer_{name}", grid=None)
        assert [segment["layer"] for segment in answers[name]] == [0, 1]
        for label, segment in zip((1, 2), answers[name], strict=True):
            assert (segment["name"], segment["prompt"]) == (labels.names[label],) * 2
            assert segment["terminology"] == slicer_terminology(labels.names[label])
            np.testing.assert_allclose(segment["colour"], label_colour(label), atol=1e-5)
            ours = in_order(labels.grid.world(np.argwhere(labels.mask(label))[:, ::-1]))
            np.testing.assert_allclose(in_order(np.array(segment["points_ras"]) * [-1, -1, 1]), ours, atol=1e-4)
            back = next(value for value, text in theirs.names.items() if text == labels.names[label])
            np.testing.assert_allclose(
                in_order(theirs.grid.world(np.argwhere(theirs.mask(back))[:, ::-1])), ours, atol=1e-4
            )
