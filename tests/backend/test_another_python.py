"""A viewer with a Python of its own (3D Slicer) tells it where its library lies; the engine's must not hear."""

import os
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from serving import MODEL

from boltzformer import Session
from boltzformer.client import environment
from boltzformer.client.child import environment_of


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """As inside of such a viewer → another Python than ours, which has the engine."""
    another = tmp_path / "another-python"
    another.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    another.chmod(0o755)
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "viewer"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "viewer" / "lib"))
    return str(another)


@pytest.mark.skipif(os.name == "nt", reason="the other Python is a shell script here")
def test_the_engine_starts_although_the_viewer_has_a_home_of_its_own(launched: str) -> None:
    assert environment_of(sys.executable) is None
    assert "LD_LIBRARY_PATH" not in (environment_of(launched) or {})
    with Session.local(MODEL, python=launched) as session:
        assert session.health()["state"] in ("starting", "ready")


@pytest.mark.skipif(os.name == "nt", reason="the other Python is a shell script here")
def test_its_environment_is_made_by_the_python_that_is_named(
    launched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    stopped, heard = threading.Event(), list[str]()

    def say(line: str) -> None:  # pip has begun: the environment is there
        heard.append(line)
        assert Path(environment.own_python()).is_file()
        stopped.set()

    assert environment.set_up(say, stopped, launched) is False
    assert heard
    assert not environment.folder().exists()


def test_it_is_made_from_the_checkout_where_nothing_had_to_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3D Slicer's module, added by its path: no release may be on an index yet."""
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(environment, "NAME", "a-package-that-is-not-installed")
    assert environment.is_set_up() is False
    root = Path(environment.wanted().removesuffix("[engine]"))
    assert tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["name"] == "napari-boltzformer"
