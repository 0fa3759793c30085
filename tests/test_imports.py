"""Imports point one way, and what a viewer loads stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import boltzformer

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "qtpy", "PyQt6", "PySide6", "napari", "magicgui", "superqt", "vispy", "slicer")
TORCH_FREE = [
    ROOT / "core/boltzformer" / name
    for name in [
        "__init__.py",
        "atomic.py",
        "errors.py",
        "types.py",
        "image/geometry.py",
        "image/intensity.py",
        "io",
        "image/slicing.py",
        "image/region.py",
        "image/packing.py",
        "image/resampling.py",
        "masks/postprocess.py",
        "masks/probability.py",
        "knowledge/vocabulary.py",
        "image/guidance.py",
        "protocol",
        "client",
        "image/hashing.py",
        "io/phantom.py",
        "io/samples.py",
        "masks/pictures.py",
        "home.py",
        "masks/objects.py",
        "masks/lesions.py",
        "knowledge/suggestions.py",
        "knowledge/manifest.py",
        "knowledge/absent.py",
        "knowledge/card.py",
        "knowledge/card_text.py",
        "image/hashing.py",
        "dataset",
        "io/cases.py",
    ]
]


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def files_of(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


@pytest.mark.parametrize("place", TORCH_FREE, ids=lambda p: p.name)
def test_files_that_a_client_loads_import_neither_torch_nor_a_viewer(place: Path) -> None:
    for file in files_of(place):
        assert not imported(file) & set(HEAVY), file


@pytest.mark.parametrize("file", files_of(ROOT / "napari_boltzformer"), ids=lambda p: p.name)
def test_the_plugin_never_imports_torch_or_the_engine(file: Path) -> None:
    text = file.read_text("utf-8")
    assert "torch" not in imported(file)
    assert not re.search(r"\bboltzformer\.(model|engine|train|server|cli|checkpoint)\b", text)


def test_import_is_light_and_every_public_name_is_there() -> None:
    heavy = (*HEAVY, "SimpleITK", "PIL", "fastapi", "scipy", "skimage", "pydicom")
    code = f"import sys, boltzformer; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    code = f"import sys; from boltzformer import Session, Volume, Grid; print([n for n in {heavy} if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    for name in boltzformer.__all__:
        assert getattr(boltzformer, name) is not None


def test_public_names_change_only_on_purpose() -> None:
    assert boltzformer.__all__ == [
        *(
            "Adjusted",
            "Annotation",
            "BackendError",
            "BoltzFormerError",
            "Cancelled",
            "CheckpointError",
            "Dataset",
            "DatasetError",
            "Engine",
            "Event",
            "Failed",
        ),
        *(
            "GeometryError",
            "Grid",
            "Guidance",
            "ImageError",
            "Job",
            "LabelMap",
            "LookTrace",
            "OutOfMemory",
            "Prediction",
            "Progress",
        ),
        *(
            "Prompt",
            "Queued",
            "Region",
            "SamplingTrace",
            "Session",
            "SlicePlan",
            "SliceResult",
            "SliceState",
            "Started",
            "Volume",
            "Window",
            "io",
            "load",
            "segment",
        ),
        "__version__",
    ]
