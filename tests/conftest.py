"""What the tests share. They use the shipped tiny model, real files, a real backend on loopback, real napari."""

import os
import shutil
from pathlib import Path

import pytest

import boltzformer
from boltzformer import io
from boltzformer.phantom import Phantom, phantom

APT_LINE = "apt-get install -y --no-install-recommends xvfb xauth (or `make test`, which does it for you)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a screen, GUI tests fail with the way out instead of vanishing."""
    needs_screen = any("make_napari_viewer_proxy" in getattr(item, "fixturenames", ()) for item in items)
    if needs_screen and not os.environ.get("DISPLAY") and shutil.which("Xvfb") is None:
        pytest.exit(f"GUI tests need a screen: {APT_LINE}", returncode=2)


@pytest.fixture(scope="session")
def made() -> Phantom:
    """A phantom of 64 slices with two bright blobs and a dark one."""
    return phantom(4242)


@pytest.fixture(scope="session")
def small() -> Phantom:
    """A phantom of 16 slices, for what only needs to run."""
    return phantom(7, (16, 72, 80))


@pytest.fixture(scope="session")
def engine() -> boltzformer.Engine:
    return boltzformer.load("default")


@pytest.fixture(scope="session")
def small_file(small: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small phantom as NIfTI."""
    return io.write_volume(small.volume, tmp_path_factory.mktemp("images") / "small.nii.gz")


@pytest.fixture(scope="session")
def made_file(made: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large phantom as NIfTI."""
    return io.write_volume(made.volume, tmp_path_factory.mktemp("images") / "phantom.nii.gz")
