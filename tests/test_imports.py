"""Imports point one way, no two files wait for each other, and what a viewer loads stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import boltzformer

ROOT = Path(__file__).parents[1]
SLICER = ROOT / "slicer_extension" / "BoltzFormer"
"""The module for 3D Slicer."""
SLICERS = ("numpy", "PIL", "slicer", "vtk", "qt", "boltzformer", "BoltzFormerLib", "SampleData")
"""What it may import besides Python's own: what Slicer has, or the panel installs after consent."""
HEAVY = ("torch", "qtpy", "PyQt6", "PySide6", "napari", "magicgui", "superqt", "vispy", "slicer", "vtk")
LIGHT = (
    *(("errors",), ("json_text", "home", "version"), ("atomic", "speaking")),
    *(("image",), ("types",), ("masks", "knowledge"), ("io",), ("protocol",), ("dataset", "client"), ("desk",)),
)
"""Rooms of the core that a viewer may load, in the order in which they may import: each only from those before."""
WITH_TORCH = ("model", "weights", "engine", "evaluate", "learn", "server", "cli", "__main__")
"""The rest, one by one behind the light ones."""
RANK = {room: place for place, rooms in enumerate((*LIGHT, *((room,) for room in WITH_TORCH))) for room in rooms}


@cache
def files() -> dict[str, Path]:
    """Every module of ours by its dotted name; a folder's `__init__` by the folder's."""
    found = {}
    for package in (ROOT / "core/boltzformer", ROOT / "napari_boltzformer", SLICER / "BoltzFormerLib"):
        for path in sorted(package.rglob("*.py")):
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def imported(name: str) -> Iterator[str]:
    """What a module imports, wherever it does so: functions and type hints included."""
    path = files()[name]
    parts = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*parts[: len(parts) + 1 - node.level], *filter(None, [node.module])])
            base = base if node.level else node.module or ""
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in files() else base


@cache
def graph() -> dict[str, set[str]]:
    """Our own modules, and which of our own each imports."""
    return {name: {other for other in imported(name) if other in files() and other != name} for name in files()}


def reached(name: str) -> set[str]:
    """Whatever is loaded with a module, of our own."""
    seen: set[str] = set()
    todo = list(graph()[name])
    while todo:
        if (one := todo.pop()) not in seen:
            seen.add(one)
            todo += graph()[one]
    return seen


def room(name: str) -> str:
    """The folder or flat file of the core that a module belongs to."""
    return name.split(".")[1] if "." in name else ""


def test_no_two_files_import_each_other_however_far_around() -> None:
    assert [name for name in files() if name in reached(name)] == []


def test_of_the_plugin_nobody_imports_the_dock_and_no_panel_another_folders() -> None:
    for name in files():
        own = name.split(".")[1] if name.count(".") else ""
        if own and name.startswith("napari_boltzformer."):
            others = {room(other) for other in graph()[name] if other.startswith("napari_boltzformer.")}
            assert own == "widget" or others <= {own, "host"}, name


def test_a_newcomer_sees_the_rooms_at_a_glance() -> None:
    for folder, most in (("core/boltzformer", 26), ("napari_boltzformer", 12)):
        entries = [one.name for one in (ROOT / folder).iterdir() if one.name != "__pycache__"]
        assert len(entries) <= most, entries


def test_the_desk_loads_without_a_viewer_and_without_the_readers_of_images() -> None:
    names = [name for name in files() if name.startswith("boltzformer.desk")]
    code = (
        "import sys; "
        + "; ".join(f"import {name}" for name in names)
        + f"; print([n for n in {(*HEAVY, 'SimpleITK')} if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize("here", RANK)
def test_a_room_imports_only_from_rooms_before_it(here: str) -> None:
    wrong = {
        (name, other)
        for name in files()
        if name.startswith("boltzformer.") and room(name) == here
        for other in graph()[name]
        if room(other) != here and (not room(other) or RANK[room(other)] >= RANK[here])
    }
    assert wrong == set()


def test_every_room_of_the_core_has_its_place_in_the_order() -> None:
    assert {room(name) for name in files() if name.startswith("boltzformer.")} == set(RANK)


@pytest.mark.parametrize("here", [room for rooms in LIGHT for room in rooms])
def test_what_a_viewer_may_load_imports_neither_torch_nor_a_viewer(here: str) -> None:
    for name in files():
        if name.startswith("boltzformer.") and room(name) == here:
            assert not {other.split(".")[0] for other in imported(name)} & set(HEAVY), name


def test_the_plugin_never_imports_torch_or_the_engine() -> None:
    for name in files():
        if name.startswith("napari_boltzformer"):
            assert "torch" not in {other.split(".")[0] for other in imported(name)}, name
            assert not {room(other) for other in imported(name) if other.startswith("boltzformer.")} & set(WITH_TORCH)


def test_the_module_for_slicer_imports_what_slicer_has_and_never_torch() -> None:
    allowed = {*SLICERS, *sys.stdlib_module_names}
    for name in [one for one in files() if one.startswith("BoltzFormerLib")]:
        assert {other.split(".")[0] for other in imported(name)} <= allowed, name
        assert not {room(other) for other in imported(name) if other.startswith("boltzformer.")} & set(WITH_TORCH), name
    told = ast.parse((SLICER / "BoltzFormer.py").read_text("utf-8")).body  # Slicer itself loads it when it starts
    early = {node.module or "" for node in told if isinstance(node, ast.ImportFrom)}
    early |= {alias.name for node in told if isinstance(node, ast.Import) for alias in node.names}
    assert {name.split(".")[0] for name in early} <= {"slicer", "BoltzFormerLib", *sys.stdlib_module_names}
    assert {name for name in early if name.startswith("BoltzFormerLib")} == {"BoltzFormerLib"}
    of_install = ast.parse((SLICER / "BoltzFormerLib/install.py").read_text("utf-8")).body
    assert not [
        node for node in of_install if isinstance(node, ast.ImportFrom) and "boltzformer" in (node.module or "")
    ]


def test_in_slicer_nobody_imports_the_panel() -> None:
    assert [name for name in files() if "BoltzFormerLib.panel" in graph()[name]] == []


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
            "Adapted",
            "Adapter",
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
            "Learning",
            "Lesson",
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
            "adapt",
            "io",
            "load",
            "segment",
        ),
        "__version__",
    ]


def test_text_is_read_and_written_in_an_encoding_that_is_said() -> None:
    """What a system takes by itself differs, and a library may change it under way."""
    silent = ".read_text" + "()"
    places = [*files().values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    assert [place for place in places if silent in place.read_text("utf-8")] == []


def test_loading_a_model_leaves_torchs_compiler_where_it_is():
    """It would take every command a second."""
    code = "import boltzformer, sys; boltzformer.load('default', device='cpu'); print('torch._dynamo' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
