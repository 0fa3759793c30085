"""Forty real images that the package carries, and a recipe that takes seconds."""

from pathlib import Path

import pytest
import torch

import boltzformer
from boltzformer.knowledge.manifest import Row, read_manifest
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.recipe import Recipe, read_recipe

MINI = Path(boltzformer.__file__).parent / "assets" / "mini" / "manifest.jsonl"
RECIPE = Path(__file__).parent / "small.toml"
FIRST = 119
"""Rows of the set that `losses.json` was recorded on; it has grown since."""


@pytest.fixture(scope="session")
def rows() -> tuple[Row, ...]:
    return read_manifest(MINI)[:FIRST]


@pytest.fixture(scope="session")
def corpus(rows: tuple[Row, ...]) -> Corpus:
    return Corpus(rows)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return read_recipe(str(RECIPE))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """The same bits on every machine of a kind."""
    torch.set_num_threads(1)
