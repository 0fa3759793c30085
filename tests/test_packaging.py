"""What a user installs is what we mean to ship."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from PIL import Image
from shown import code_of, code_shown

from boltzformer.version import VERSION
from boltzformer.weights import checkpoint, registry

ROOT = Path(__file__).parents[1]


def test_the_manifest_is_named_as_the_distribution_and_the_base_is_light() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    manifest = (ROOT / "napari_boltzformer/napari.yaml").read_text("utf-8")
    assert f"name: {project['name']}" in manifest.splitlines()
    assert sorted(project["dependencies"]) == ["httpx", "numpy"]
    extras = project["optional-dependencies"]
    assert not any(re.match(r"(?i)(pyqt|pyside|torch)", name) for name in [*extras["io"], *project["dependencies"]])
    assert not any(name.startswith("torch") for name in extras["napari"])
    assert "PyQt6" in extras["napari"]


def test_the_manifest_s_icon_is_a_picture_in_the_package() -> None:
    told = yaml.safe_load((ROOT / "napari_boltzformer/napari.yaml").read_text("utf-8"))
    package, name = told["icon"].split(":")
    with Image.open(files(package) / name) as icon:
        assert icon.format == "PNG"
        assert icon.width == icon.height >= 128


def test_the_version_is_one() -> None:
    """In the code, in the package's data, in the citation, and with a place in the changelog."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == VERSION == str(citation["version"])
    assert citation["license"] == project["license"]
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert VERSION in heads
    assert len(heads) == len(set(heads))


def test_on_an_index_every_picture_and_link_of_the_readme_leads_to_a_file_of_this_version() -> None:
    project = ProjectMetadata(str(ROOT), PluginManager())
    shown, written = project.core.readme, (ROOT / "README.md").read_text("utf-8")
    address = project.core.urls["Repository"]
    raw = address.replace("https://github.com/", "https://raw.githubusercontent.com/")
    places = re.findall(r"\]\(([^)]+)\)", written)
    assert places
    for place in places:
        if not place.startswith(("https:", "#")):
            assert (ROOT / place).is_file()
            assert f"]({place})" not in shown
            assert any(f"]({base}/v{VERSION}/{place})" in shown for base in (raw, f"{address}/blob"))
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", written):
        assert f"]({raw}/v{VERSION}/{picture})" in shown


def test_nothing_is_released_under_the_address_of_nobody() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))
    steps = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
    assert any("OWNER" in step and "pyproject.toml" in step for step in steps)


def test_workflows_run_what_is_run_here() -> None:
    """They can't be run where this is written: so at least every command and file that they name is there."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    told = {file.name: yaml.safe_load(file.read_text("utf-8")) for file in (ROOT / ".github/workflows").glob("*.yml")}
    assert set(told) == {"test.yml", "release.yml"}
    matrix = told["test.yml"]["jobs"]["quick"]["strategy"]["matrix"]
    jobs = [job for workflow in told.values() for job in workflow["jobs"].values()]
    runs = {step.get("run") for job in jobs for step in job.get("steps", ())}
    assert {"make test-slow", "make test-slicer", "make docs"} <= runs
    assert matrix["platform"] == ["ubuntu-latest", "windows-latest", "macos-latest"]
    for workflow in told.values():
        for job in workflow["jobs"].values():
            for step in job.get("steps", ()):
                for target in re.findall(r"^make (\S+)$", step.get("run", ""), re.M):
                    assert re.search(rf"^{target}:", makefile, re.M), target
            if "uses" in job:
                assert (ROOT / job["uses"]).is_file()


def test_the_pictures_show_the_shipped_model_and_the_window_as_it_is() -> None:
    about = json.loads((ROOT / "docs/pictures.json").read_text("utf-8"))
    assert about["model"] == checkpoint.read(registry.resolve("default")).sha256, "make pictures"
    assert about["code"] == code_shown(), "make pictures"
    for name in re.findall(r"\]\((docs/[^)]+)\)", (ROOT / "README.md").read_text("utf-8")):
        assert (ROOT / name).is_file()


def test_a_new_word_in_the_window_asks_for_new_pictures_and_a_new_docstring_does_not() -> None:
    code = 'def f():\n    """Says."""\n    return Button("Learn")\n'
    assert code_of(code) == code_of(code.replace("Says.", "Says\n    more."))
    assert code_of(code) != code_of(code.replace("Learn", "Teach"))


@pytest.mark.slow
def test_the_wheel_installs_bare_and_says_what_is_missing(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "boltzformer",
        "napari_boltzformer",
        wheel.name.split("-py3")[0] + ".dist-info",
    }
    for needed in ("boltzformer/py.typed", "boltzformer/assets/default.safetensors", "napari_boltzformer/napari.yaml"):
        assert needed in names
    described = zipfile.ZipFile(wheel).read(wheel.name.split("-py3")[0] + ".dist-info/METADATA").decode("utf-8")
    assert "# napari-boltzformer" in described
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", described) == []  # an index has none of our files
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    binaries = venv / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([binaries / "python", "-m", "pip", "install", "-q", str(wheel)], check=True)
    said = subprocess.run([binaries / "boltzformer", "info"], capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "pip install 'napari-boltzformer[engine]'" in said.stderr
    assert "Traceback" not in said.stderr
    code = "import boltzformer; print(boltzformer.Session.local, boltzformer.Grid.pixels((1, 2, 3)).spacing_mm)"
    assert subprocess.run([binaries / "python", "-c", code], check=False).returncode == 0
    shutil.rmtree(venv)


@pytest.mark.slow
def test_the_demonstration_shows_the_answer_and_says_how_good_it_is(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/demo.py"), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Dice against the expert's mask" in ended.stdout
    assert "This model never saw" in ended.stdout
    assert "Learnt from 3 slices" in ended.stdout
    made = {"first-sight.png", "ms-lesions.nii.gz", "ms-lesions-learnt.nii.gz", "answer.png", "looks.png"}
    assert {path.name for path in tmp_path.iterdir()} >= made
