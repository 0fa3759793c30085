"""The notebook in `examples/` runs from top to bottom and does what its words say."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).parents[1] / "examples" / "python_api.ipynb"


def test_every_cell_of_the_notebook_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    shutil.copy(PHANTOM_MODEL, tmp_path)  # it lies beside the notebook, which is where notebooks run
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for number, cell in enumerate(code):
            exec(compile(cell, f"{NOTEBOOK.name}, code cell {number + 1}", "exec"), names)
    assert "64 axial slices" in said.getvalue()
    assert "bright blob 1:" in said.getvalue()
    made = {path.name for path in tmp_path.iterdir()} - {PHANTOM_MODEL.name}
    assert made == {"looks.png", "masks.provenance.json", "masks.seg.nrrd"}


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)
