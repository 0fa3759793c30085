"""Models of other kinds: without an existence classifier, with edge queries, with a gate of their own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import boltzformer
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig, tiny
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History


def engine_of(path: Path, config: ModelConfig, **notes: object) -> boltzformer.Engine:
    torch.manual_seed(0)
    checkpoint.save(path, BoltzFormer(config), History("random", notes=notes))
    return boltzformer.load(path)


def test_without_a_classifier_the_surest_pixel_counts_and_is_labelled_so(small: Phantom, tmp_path: Path) -> None:
    config = tiny()
    engine = engine_of(tmp_path / "m.safetensors", replace(config, decoder=replace(config.decoder, existence=False)))
    answer = boltzformer.segment(small.volume, BRIGHT, model=engine, slices=[8])
    assert answer.provenance["existence kind"] == "largest mask probability, uncalibrated"
    one = answer.slices[0]
    assert one.existence[0] == pytest.approx(1 / (1 + np.exp(-float(one.logits.max()) / 16)), abs=0.01)


def test_edges_come_through_where_a_model_draws_them(small: Phantom, tmp_path: Path) -> None:
    config = tiny()
    edged = replace(config, pigma=None, decoder=replace(config.decoder, edge_queries=4))
    engine = engine_of(tmp_path / "m.safetensors", edged)
    for samples in (1, 2):
        one = boltzformer.segment(small.volume, [BRIGHT, DARK], model=engine, slices=[8], samples=samples).slices[0]
        assert one.edges is not None
        assert one.edges.shape == one.logits.shape == (2, 24, 24)
        assert not np.array_equal(one.edges, one.logits)


def test_a_checkpoint_brings_its_own_gate(small: Phantom, tmp_path: Path) -> None:
    engine = engine_of(tmp_path / "m.safetensors", tiny(), **{"existence threshold": 0.999})
    answer = boltzformer.segment(small.volume, BRIGHT, model=engine, slices=[8])
    assert answer.gate == 0.999
    assert not answer.labels(threshold=0).layers.any()
    assert answer.labels(threshold=0, existence=0.0).layers.any()
