"""Models by name: earlier default models."""

import hashlib
import shutil
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer.cli.cli import run
from boltzformer.errors import CheckpointError
from boltzformer.weights import registry


def test_an_earlier_default_model_is_known_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    digest = hashlib.sha256(PHANTOM_MODEL.read_bytes()).hexdigest()
    monkeypatch.setitem(registry.PREVIOUS, "the-first", digest)
    with pytest.raises(CheckpointError, match=rf"'the-first', an earlier default model, .*SHA-256 {digest[:12]}"):
        registry.resolve("the-first")
    file = tmp_path / "default.safetensors"
    shutil.copyfile(PHANTOM_MODEL, file)
    assert run(["models", "import", str(file)]) == 0
    assert registry.resolve("the-first").stem == "the-first"
