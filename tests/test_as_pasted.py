"""The five-minute pages, tried as a stranger tries them: every line as it is written, in an empty folder."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT

pytestmark = pytest.mark.slow


def blocks(page: str, kind: str) -> list[str]:
    """Code blocks of a page, but those that only install."""
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)
    return [block for block in found if not block.startswith("pip install")]


def test_the_command_line_page(tmp_path: Path) -> None:
    here = tmp_path / "bin"
    here.mkdir()
    if os.name == "nt":
        pytest.skip("the lines are for a shell")
    for name, call in (("boltzformer", f'"{sys.executable}" -m boltzformer'), ("python", f'"{sys.executable}"')):
        (here / name).write_text(f'#!/bin/sh\nexec {call} "$@"\n', encoding="utf-8")
        (here / name).chmod(0o755)
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    known = {**os.environ, "PATH": path, "BOLTZFORMER_HOME": str(tmp_path / "home")}
    work = tmp_path / "work"
    work.mkdir()
    said = ""
    lines = blocks("docs/start/command-line.md", "bash")
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run(line, shell=True, cwd=work, env=known, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, line + done.stderr
        said += done.stdout
    assert "slices    " in said
    assert {file.name for file in (work / "masks/brain").iterdir()} == {
        "brain.lesions.csv",
        "brain.lesions.json",
        "brain.provenance.json",
        "ms-lesion-in-brain-mri.nii.gz",
    }
    assert list((work / "looks/brain").glob("*.looks-0075.png"))


def test_the_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        for block in blocks("docs/start/python.md", "python"):
            exec(compile(block, "docs/start/python.md", "exec"), names)
    assert said.getvalue().splitlines()[0] == "Started"
    assert "Prediction" in said.getvalue()
    assert "9 looks" in said.getvalue()
    assert {file.name for file in tmp_path.iterdir()} == {"mask.nii.gz", "mask.provenance.json"}
