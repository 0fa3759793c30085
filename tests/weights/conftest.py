"""What the tests of foreign weights share: a home of their own, and a small model on a hub."""

from pathlib import Path

import pytest
import torch

from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "")
    for name in ("BOLTZFORMER_OFFLINE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that this program wrote."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    return checkpoint.save(path, BoltzFormer(tiny()), History("small")).path.read_bytes()
