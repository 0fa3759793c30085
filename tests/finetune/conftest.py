"""A small model with random weights, and sixteen of the package's own images as a user's data."""

from pathlib import Path

import pytest
import torch
from finetune_runs import MINI, manifest

from boltzformer.knowledge.manifest import read_manifest
from boltzformer.learn.corpus import token_table
from boltzformer.learn.recipe import read_recipe
from boltzformer.learn.training_run import configured
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.text import TableTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History

SMALL = Path(__file__).parents[1] / "train" / "small.toml"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The same bits on every machine of a kind."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights."""
    recipe = read_recipe(str(SMALL))
    config = configured(recipe)
    texts = {text for row in read_manifest(MINI) for text in row.prompts}
    torch.manual_seed(0)
    model = BoltzFormer(config, TableTokenizer(token_table(texts, config.text.vocabulary)))
    path = tmp_path_factory.mktemp("base") / "small.safetensors"
    checkpoint.save(path, model, History("small", licence="CC0-1.0"), half=True)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest: two targets, five groups and more."""
    return manifest(tmp_path_factory.mktemp("data"), ("cell nucleus", "fetal head", "lung nodule", "brain tumor"))
