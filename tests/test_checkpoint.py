"""A model file fits key for key, or one sentence says why not."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from boltzformer import CheckpointError, checkpoint
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = BoltzFormer(tiny())
    checkpoint.save(model, tmp_path / "m.safetensors", name="mine", note="a note")
    again, about = checkpoint.load(tmp_path / "m.safetensors")
    assert (about.name, about.note, about.config) == ("mine", "a note", tiny())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_default_model_says_that_it_never_saw_a_patient() -> None:
    _, about = checkpoint.load("default")
    assert checkpoint.UNTRAINED in about.note


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no complete .safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "no complete .safetensors"),
        (safetensors.torch.save({"a": torch.zeros(1)}), "not a model of ours"),
        (safetensors.torch.save({"a": torch.zeros(1)}, {"format": "boltzformer-1", "config": "{}"}), "first at"),
        (safetensors.torch.save({}, {"format": "boltzformer-1", "config": '{"wings": 2}'}), "newer version"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        checkpoint.load(tmp_path / "m.safetensors")


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        checkpoint.load("nowhere")
