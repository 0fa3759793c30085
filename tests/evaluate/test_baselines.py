"""The baselines do what they say: the best box is the best, the U-Net goes on where it stopped."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from lite_weights import published
from PIL import Image

from boltzformer import Volume
from boltzformer.evaluate.evaluate import Asked
from boltzformer.image.geometry import Grid
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe
from boltzformer.learn.train import batch_of
from boltzformer.model.encoder_config import LiteConfig
from boltzformer.model.lite import LiteEncoder

SCRIPT = Path(__file__).parents[2] / "benchmarks/baselines.py"


@pytest.fixture(scope="module")
def baselines() -> ModuleType:
    spec = importlib.util.spec_from_file_location("boltzformer_bench_baselines", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Two gray pictures, the object always the same rectangle."""
    made = []
    for n in range(2):
        pixels = np.random.default_rng(n).integers(0, 99, (64, 96), dtype=np.uint8)
        mask = np.zeros((64, 96), np.uint8)
        mask[16:32, 48:72] = 255
        Image.fromarray(np.maximum(pixels, mask // 2)).save(tmp_path / f"{n}.png")
        Image.fromarray(mask).save(tmp_path / f"{n}-mask.png")
        files = {"image": tmp_path / f"{n}.png", "mask": tmp_path / f"{n}-mask.png"}
        made.append(Row(number=n, **files, label=None, target="box", prompts=("box",), group=str(n)))
    return made


def test_the_best_box_is_found_and_drawn(baselines: ModuleType, rows: list[Row]) -> None:
    boxes = baselines.constant_boxes(rows)
    assert boxes == {"box": (0.25, 0.5, 0.5, 0.75)}
    image = Volume(np.zeros((1, 128, 192), np.uint8), Grid.pixels((1, 128, 192)))
    known, unknown = baselines.boxed(boxes)(image, [Asked("whatever", "box"), Asked("whatever", "other")])
    assert known.mask[0, 32:64, 96:144].all()
    assert known.mask.sum() == 32 * 48
    assert not unknown.mask.any()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(published(LiteEncoder(LiteConfig())), tmp_path / "lite.pth", _use_new_zipfile_serialization=False)
    return tmp_path / "lite.pth"


@pytest.mark.parametrize("known", [False, True], ids=["from nothing", "with an encoder that knows pictures"])
def test_the_network_goes_on_where_it_stopped(
    baselines: ModuleType, rows: list[Row], weights: Path, known: bool, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    recipe, corpus = Recipe(steps=3, batch=2, side=64), Corpus(rows)
    encoder = weights if known else None
    whole, part, again = (baselines.Baseline(recipe, corpus.targets, torch.device("cpu"), encoder) for _ in range(3))
    for step in range(2):
        loss = whole.learn(batch_of(corpus, recipe, step))
    part.learn(batch_of(corpus, recipe, 0))
    part.save(tmp_path / "unet.pt")
    again.resume(tmp_path / "unet.pt")
    assert again.step == 1
    assert again.learn(batch_of(corpus, recipe, 1)) == loss
    for name, tensor in whole.mean.state_dict().items():
        assert torch.equal(again.mean.state_dict()[name], tensor)
    image = Volume(np.zeros((1, 64, 96), np.uint8), Grid.pixels((1, 64, 96)))
    (given,) = again.answers()(image, [Asked("whatever", "box")])
    assert given.mask.shape == (1, 64, 96)
    assert 0 <= given.existence <= 1
    assert bool(given.mask.any()) <= (given.existence >= 0.5)
