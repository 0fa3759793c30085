"""Models of a backend: listed, imported, loaded, and given up for others."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from serving import MODEL, serving

import boltzformer
from boltzformer import BackendError, Session
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.weights import checkpoint


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of another model, and an empty home."""
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    model, about = checkpoint.load(MODEL)
    with torch.no_grad():
        next(model.decoder.parameters()).mul_(1.5)
    checkpoint.save(tmp_path / "other.safetensors", model, about.history)
    return tmp_path / "other.safetensors"


def test_a_model_is_imported_listed_loaded_and_asked(other: Path, small: Phantom) -> None:
    with serving() as served, served.session() as session:
        assert [model.name for model in session.models()] == ["default", MODEL]
        assert session.import_model(other, "tuned").name == "tuned"
        with pytest.raises(BackendError, match="registered already"):
            session.import_model(other, "tuned")
        assert session.load_model("tuned").loaded
        loaded = {model.name: model.loaded for model in session.models()}
        assert loaded == {"default": False, MODEL: True, "tuned": True}
        hashes = {model.name: model.sha256 for model in session.models()}
        tuned = session.segment(small.volume, BRIGHT, slices=[3, 4], model="tuned").result()
        first = session.segment(small.volume, BRIGHT, slices=[3, 4]).result()
        near = boltzformer.segment(small.volume, BRIGHT, slices=[3, 4], model=other)
        assert tuned.provenance["logits sha256"] == near.provenance["logits sha256"]
        told = {one: made.provenance["model"]["sha256"] for one, made in ((MODEL, first), ("tuned", tuned))}
        assert hashes == {"default": "", **told}
        assert first.provenance["model"]["sha256"] != tuned.provenance["model"]["sha256"]
        (other.parent / "home/models/tuned.safetensors").write_bytes(b"broken meanwhile")
        assert "tuned" in {model.name for model in session.models() if model.error}
        with pytest.raises(BackendError, match="tuned"):
            session.segment(small.volume, BRIGHT, slices=[3], model="tuned").result()
        with pytest.raises(BackendError, match="no model 'nothing'"):
            session.load_model("nothing")


def test_models_stay_loaded_under_a_budget(other: Path, small: Phantom) -> None:
    size = 4 * checkpoint.read(other).parameters
    for budget, loaded in ((2 * size, {MODEL, "tuned"}), (2 * size - 1, {"tuned"})):
        with serving(models_bytes=budget) as served, served.session() as session:
            if budget == 2 * size:
                session.import_model(other, "tuned")
            session.load_model(MODEL)
            session.load_model("tuned")
            assert {model.name for model in session.models() if model.loaded} == loaded
            session.load_model(MODEL)
            assert session.segment(small.volume, BRIGHT, slices=[1]).result().slices


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_backend_serves_on(other: Path, small: Phantom, tmp_path: Path) -> None:
    """The backend may write no file of more than 100 kB: a disk that is full in the middle of the model."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nulimit -f 100\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o700)
    with Session.local(MODEL, python=str(python)) as session:
        with pytest.raises(BackendError, match="free some space"):
            session.import_model(other, "tuned")
        assert "tuned" not in {model.name for model in session.models()}
        assert [file.name for file in (tmp_path / "home/models").iterdir()] == []
        prediction = session.segment(small.volume, BRIGHT, slices=[1]).result()
    assert prediction.slices[0].logits.dtype == np.int8
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert subprocess.run([str(python), "-c", "pass"], check=False).returncode == 0
