"""A start from X-Decoder: what fits by name and shape is taken to the bit, the rest is listed, nothing is run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from synthetic import Bomb
from torch import Tensor

from boltzformer.cli.cli import run
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import FocalConfig, ModelConfig, PixelDecoderConfig, TextConfig, focal_l
from boltzformer.weights import checkpoint
from boltzformer.weights.convert.tables import XDECODER

WORDS = "sem_seg_head.predictor.language_encoder"


def small() -> ModelConfig:
    """BoltzFormer with FocalNet, at a hundredth of its size."""
    decoder = {"hidden": 32, "heads": 4, "ffn": 48, "in_channels": 32, "mask_channels": 32, "text_channels": 32}
    full = focal_l()
    return replace(
        full,
        encoder=FocalConfig(width=16, depths=(1, 1, 2, 1), focal_levels=(2,) * 4),
        pixel_decoder=PixelDecoderConfig(32, 32, 4, 48, layers=2, groups=8),
        text=TextConfig(vocabulary=300, width=32, layers=2, heads=4, projection=32),
        decoder=replace(full.decoder, **decoder),  # type: ignore[arg-type]
        image_size=64,
    )


def as_xdecoder(config: ModelConfig) -> dict[str, Tensor]:
    """By its names: no first reading of the prompt, no up-scaling; captions, masks of attention and counters beside."""
    torch.manual_seed(5)
    shared = {
        name.replace(f"{WORDS}.encoder_transformer.", "sem_seg_head.predictor.lang_encoder.lang_encoder.").replace(
            f"{WORDS}.", "sem_seg_head.predictor.lang_encoder."
        ): torch.rand_like(tensor)
        for name, tensor in BoltzFormer(config).state_dict().items()
        if "initial_" not in name and not name.startswith("output_")
    }
    width = config.decoder.hidden
    return shared | {
        "sem_seg_head.predictor.caping_embed": torch.rand(width, width),
        "sem_seg_head.predictor.pos_embed_caping.weight": torch.rand(77, width),
        "sem_seg_head.predictor.self_attn_mask": torch.ones(1, 178, 178, dtype=torch.bool),
        "criterion.empty_weight": torch.ones(134),
        "pixel_mean": torch.ones(3, 1, 1),
    }


def convert(folder: Path, state: dict[str, object], *more: str, config: ModelConfig | None = None) -> int:
    torch.save(state, folder / "x.pt")
    (folder / "config.json").write_text(json.dumps((config or small()).to_dict()))
    told = ["--init", "--config", str(folder / "config.json"), *more]
    return run(["convert", str(folder / "x.pt"), str(folder / "start.safetensors"), *told])


def test_whatever_fits_is_taken_and_the_rest_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = as_xdecoder(small())
    assert convert(tmp_path, {**state}) == 0
    said = capsys.readouterr().out
    fit = len(state) - 5
    assert f"read as a start from X-Decoder or SEEM: {fit} tensors loaded, all that fit by name and shape" in said
    assert "left out, this model has nothing of that name: sem_seg_head.predictor.caping_embed, " in said
    assert "sem_seg_head.predictor.self_attn_mask, pixel_mean" in said  # all of them, not the first few
    assert "left out, losses and metrics, used in training only: criterion.empty_weight" in said
    parts = "initial_self_attention_layer, sem_seg_head.predictor.initial_ffn_layer, output_deconv, output_conv"
    assert f"random until trained: sem_seg_head.predictor.{parts}" in said
    assert f"--init {tmp_path / 'start.safetensors'}" in said
    made = load_file(tmp_path / "start.safetensors")
    for theirs, ours in XDECODER.named(state).items():
        if ours in made:
            assert torch.equal(made[ours], state[theirs]), ours
    assert f"{WORDS}.encoder_transformer.ln_final.weight" in made
    model, about = checkpoint.load(tmp_path / "start.safetensors")
    assert about.config == small()
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    card = (tmp_path / "start.md").read_text("utf-8")
    assert "sem_seg_head.predictor.pos_embed_caping.weight" in card


def test_other_shapes_stay_random_by_their_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fewer = replace(small(), decoder=replace(small().decoder, queries=16))
    assert convert(tmp_path, {**as_xdecoder(small())}, config=fewer) == 0
    said = capsys.readouterr().out
    names = "sem_seg_head.predictor.query_feat.weight, sem_seg_head.predictor.query_embed.weight"
    assert f"left out, of another shape here: {names}" in said
    assert "sem_seg_head.predictor.query_feat, sem_seg_head.predictor.query_embed, output_deconv" in said
    assert "decoder_norm" not in said


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    assert convert(tmp_path, {**as_xdecoder(small()), "hook": Bomb(fired)}) == 0
    assert not fired.exists()


def test_a_file_of_which_nothing_fits_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path, {"conv1.weight": torch.ones(3)}) == 2
    assert (
        "has no tensor that fits the model by name and shape (it begins with conv1.weight)" in capsys.readouterr().err
    )
    assert not (tmp_path / "start.safetensors").exists()


def test_without_init_the_same_file_is_refused_by_its_unexplained_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(as_xdecoder(small()), tmp_path / "x.pt")
    (tmp_path / "config.json").write_text(json.dumps(small().to_dict()))
    told = ["--config", str(tmp_path / "config.json")]
    assert run(["convert", str(tmp_path / "x.pt"), str(tmp_path / "out.safetensors"), *told]) == 2
    assert "Nothing was written" in capsys.readouterr().err


def test_a_file_of_the_published_size_is_a_start_without_saying_which() -> None:
    names = as_xdecoder(small()).keys()
    shapes = XDECODER.shapes
    fits = [ours for ours in XDECODER.named(names).values() if ours in shapes]
    assert "sem_seg_head.predictor.query_feat.weight" in fits
    assert shapes["sem_seg_head.predictor.query_feat.weight"] == (101, 512)
