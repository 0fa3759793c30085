"""Who installed from a checkout carries on what is installed: the wheel made of it installs the same files."""

import csv
import hashlib
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from boltzformer.cli import own_wheel
from boltzformer.errors import BoltzFormerError

ABOUT = "small_thing-1.2.dist-info"
FILES = {
    "small/__init__.py": "def main():\n    print('small')\n",
    "small/data/table.txt": "1 2 3\n",
    f"{ABOUT}/METADATA": "Metadata-Version: 2.1\nName: small-thing\nVersion: 1.2\n",
    f"{ABOUT}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{ABOUT}/entry_points.txt": "[console_scripts]\nsmall = small:main\n",
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    file = tmp_path / "small_thing-1.2-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as opened:
        for name, text in FILES.items():
            opened.writestr(name, text)
        rows = [f"{name},sha256={digest(text)},{len(text)}" for name, text in FILES.items()]
        opened.writestr(f"{ABOUT}/RECORD", "\n".join([*rows, f"{ABOUT}/RECORD,,"]) + "\n")
    return file


def digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def installed(wheel: Path, place: Path) -> Distribution:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run([*command, str(wheel)], check=True)
    (found,) = distributions(path=[str(place)])
    return found


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_of_an_installation_holds_what_was_installed_and_installs_again(wheel: Path, tmp_path: Path) -> None:
    here = installed(wheel, tmp_path / "here")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path / "here")], check=True)
    assert own_wheel.came_from_elsewhere(here)
    (tmp_path / "packed").mkdir()
    made = own_wheel.packed(here, tmp_path / "packed")
    assert made.name == wheel.name
    found = contents(made)
    rows = list(csv.reader(found.pop(f"{ABOUT}/RECORD").decode("utf-8").splitlines()))
    assert {name: text.decode("utf-8") for name, text in found.items()} == FILES
    assert {row[0] for row in rows} == {*FILES, f"{ABOUT}/RECORD"}
    assert all(row[1].startswith("sha256=") for row in rows if row[0] != f"{ABOUT}/RECORD")
    again = installed(made, tmp_path / "again")
    assert (tmp_path / "again/small/data/table.txt").read_text("utf-8") == FILES["small/data/table.txt"]
    assert [entry.value for entry in again.entry_points] == ["small:main"]
    (tmp_path / "twice").mkdir()
    assert own_wheel.packed(here, tmp_path / "twice").read_bytes() == made.read_bytes()


def test_a_file_that_was_changed_or_removed_since_is_told(wheel: Path, tmp_path: Path) -> None:
    here = installed(wheel, tmp_path / "here")
    table = tmp_path / "here/small/data/table.txt"
    table.write_text("1 2 4\n", encoding="utf-8")
    with pytest.raises(BoltzFormerError, match=r"table\.txt is not what was installed"):
        own_wheel.packed(here, tmp_path)
    table.unlink()
    with pytest.raises(BoltzFormerError, match=r"table\.txt is not what was installed"):
        own_wheel.packed(here, tmp_path)


def test_what_an_index_gave_is_asked_of_it_again(wheel: Path, tmp_path: Path) -> None:
    here = installed(wheel, tmp_path / "here")
    (tmp_path / "here" / ABOUT / "direct_url.json").unlink()
    assert not own_wheel.came_from_elsewhere(here)
