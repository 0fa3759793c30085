"""What the tests share: a tiny model that knows phantoms, real files, a real backend on loopback, real napari."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import teach_phantoms
from hypothesis import settings
from phantom_model import PHANTOM_MODEL, Taught

import boltzformer
from boltzformer import io
from boltzformer.io.phantom import Phantom, phantom

# How long an example takes says nothing on shared machines. What lands is judged by the same examples each time;
# whoever runs the tests at home looks for new ones.
settings.register_profile("shared machines", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("shared machines")

os.environ["NAPARI_CONFIG"] = ""  # no test reads or writes the preferences of whoever runs it

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
    """With the phantom model; no test asks which model `default` is, but the one that says so."""
    return boltzformer.load(PHANTOM_MODEL)


@pytest.fixture(scope="session")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """From nothing, so that learning is tested as well; most tests use the `engine` of a file made the same way."""
    began, model = time.process_time(), teach_phantoms.new(layers=3)
    for _ in teach_phantoms.teach(model, steps=500):
        pass
    about = teach_phantoms.save(model, tmp_path_factory.mktemp("models") / "taught.safetensors")
    return Taught(boltzformer.load(about.path, device="cpu"), time.process_time() - began)


@pytest.fixture(scope="session")
def small_file(small: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small phantom as NIfTI."""
    return io.write_volume(small.volume, tmp_path_factory.mktemp("images") / "small.nii.gz")


@pytest.fixture(scope="session")
def made_file(made: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The large phantom as NIfTI."""
    return io.write_volume(made.volume, tmp_path_factory.mktemp("images") / "phantom.nii.gz")
