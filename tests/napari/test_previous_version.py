"""The first minutes, and the keys, in the napari before the current one."""

import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

PREVIOUS = "0.8.0"
HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_previous_napari_does_as_well(tmp_path: Path, xvfb: object) -> None:
    venv.create(tmp_path / "old", with_pip=True)
    python = tmp_path / "old/bin/python"
    below = sysconfig.get_path("purelib")  # all else is what this environment has
    (next((tmp_path / "old").rglob("site-packages")) / "below.pth").write_text(
        f"import site; site.addsitedir({below!r})"
    )
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", f"napari=={PREVIOUS}"]
    subprocess.run(pip, check=True)
    version = subprocess.check_output([python, "-c", "import napari; print(napari.__version__)"], text=True)
    assert version.strip() == PREVIOUS
    story = [str(HERE / "test_first_minutes.py"), str(HERE / "test_keys.py")]
    asked = [python, "-m", "pytest", "-q", "-m", "slow or not slow", *story]
    told = subprocess.run(asked, capture_output=True, text=True, cwd=HERE.parents[1])
    assert told.returncode == 0, told.stdout[-5000:]
