"""A machine without a network gets everything from one folder, and nothing that was changed on the way."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from phantom_model import PHANTOM_MODEL

from boltzformer import io
from boltzformer.cli import bundle_install
from boltzformer.cli.bundle_install import ABOUT, PINS, SUMS
from boltzformer.cli.cli import run
from boltzformer.image.hashing import sha256_of
from boltzformer.io.phantom import BRIGHT
from boltzformer.weights import registry


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """A folder as `bundle` makes it, but with one small file as its only wheel."""
    folder = tmp_path / "bundle"
    for name in ("wheels", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "wheels/one-1.0-py3-none-any.whl").write_bytes(b"not much")
    (folder / PINS).write_text("", encoding="utf-8")
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    about = {"version": "0", "python": python, "platform": sysconfig.get_platform(), "models": []}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    names = ("wheels/one-1.0-py3-none-any.whl", PINS, ABOUT)
    (folder / SUMS).write_text("".join(f"{sha256_of(folder / name)}  {name}\n" for name in names), encoding="utf-8")
    return folder


def test_a_file_that_was_changed_is_missing_or_came_along_stops_the_installation(carried: Path, tmp_path: Path) -> None:
    wheel, target = carried / "wheels/one-1.0-py3-none-any.whl", tmp_path / "environment"
    wheel.write_bytes(b"not mucH")
    with pytest.raises(SystemExit, match="is not what it was"):
        bundle_install.main(carried, target)
    wheel.unlink()
    with pytest.raises(SystemExit, match="is missing"):
        bundle_install.main(carried, target)
    (carried / "wheels/other.whl").write_bytes(b"")
    with pytest.raises(SystemExit, match="does not belong"):
        bundle_install.main(carried, target)
    shutil.rmtree(carried / "wheels")
    (carried / SUMS).unlink()
    with pytest.raises(SystemExit, match="no whole bundle"):
        bundle_install.main(carried, target)
    assert not target.exists()


def test_another_kind_of_machine_is_told(carried: Path, tmp_path: Path) -> None:
    about = json.loads((carried / ABOUT).read_text("utf-8"))
    (carried / ABOUT).write_text(json.dumps({**about, "python": "3.2"}), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"This bundle is for Python 3\.2"):
        bundle_install.main(carried, tmp_path / "environment")


def test_a_folder_in_use_and_a_model_that_is_none_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine", encoding="utf-8")
    assert run(["bundle", str(tmp_path / "full")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["bundle", str(tmp_path / "new"), "--model", "nobodys"]) == 2
    assert "There is no model at nobodys" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def cut_off() -> list[str]:
    """What to put before a command so that it has no network; nothing where that is not allowed."""
    try:
        allowed = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        allowed = False
    return ["unshare", "-n"] if allowed else []


@pytest.mark.slow
def test_installed_and_segmented_without_a_network(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOLTZFORMER_HOME", str(tmp_path / "home"))
    registry.add(PHANTOM_MODEL, "phantom")
    code = run(["bundle", str(tmp_path / "bundle"), "--model", "phantom"])
    said = capsys.readouterr()
    if code and "can't be fetched" in said.err:
        pytest.skip(f"the wheels can't be had: {said.err.strip()}")
    assert code == 0, said.err
    assert sha256_of(tmp_path / "bundle" / SUMS) in said.out
    assert (tmp_path / "bundle/models/phantom.safetensors").read_bytes() == PHANTOM_MODEL.read_bytes()

    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    bare["BOLTZFORMER_HOME"] = str(tmp_path / "other home")
    (tmp_path / "elsewhere").mkdir()
    how = {"env": bare, "cwd": tmp_path / "elsewhere", "capture_output": True, "encoding": "utf-8", "check": False}
    installer, place = str(tmp_path / "bundle/install.py"), tmp_path / "environment"
    done = subprocess.run([*cut_off(), sys.executable, installer, str(place)], **how)
    assert done.returncode == 0, done.stdout + done.stderr
    program = place / ("Scripts" if os.name == "nt" else "bin") / "boltzformer"
    command = [str(program), "segment", str(small_file), "-p", BRIGHT, "-o", str(tmp_path / "mask.nii.gz")]
    done = subprocess.run([*cut_off(), *command, "--model", "phantom"], **how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert io.read(tmp_path / "mask.nii.gz").array.any()
