"""What the tests of the annotation store share."""

from pathlib import Path

import pytest

from boltzformer.dataset import Dataset


@pytest.fixture
def store(tmp_path: Path) -> Dataset:
    return Dataset.at(tmp_path / "store")
