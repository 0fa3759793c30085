"""Every decoder of the zoo can be fine-tuned like ours, in every mode."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_runs import command, run

from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.text import TableTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

KINDS: dict[str, dict[str, Any]] = {
    "sam": {"strides": (16,), "layers": 2},
    "sam2": {"strides": (16, 8), "layers": 2},
    "emcad": {"strides": (32, 16, 8)},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_of_the_zoo_is_fine_tuned(kind: str, base: Path, data: Path, tmp_path: Path) -> None:
    about = checkpoint.read(base)
    decoder = replace(about.config.decoder, kind=kind, attention="full", **KINDS[kind])  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = BoltzFormer(replace(about.config, decoder=decoder), TableTokenizer(about.tokenizer))
    start = checkpoint.save(tmp_path / "start.safetensors", model, History(kind, licence="CC0-1.0"), half=True).path
    before = checkpoint.load(start)[0].state_dict()
    for mode in ("existence", "lora"):
        done = run(*command(data, start, tmp_path / mode, "--mode", mode, "--steps", "4", "--batch", "4"))
        assert done.returncode == 0, done.stderr
        after = checkpoint.load(tmp_path / mode / "model.safetensors")[0].state_dict()
        moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
        if mode == "existence":
            assert moved
            assert all(name.startswith("sem_seg_head.predictor.classifier.") for name in moved)
        else:
            mine = {name.removeprefix("sem_seg_head.predictor.") for name in moved} - moved
            matrices = {"emcad": "stages.3.lateral.0.weight"}.get(kind, "layers.1.among_tokens.in_proj_weight")
            assert matrices in mine
