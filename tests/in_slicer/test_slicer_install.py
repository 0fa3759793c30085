"""What Slicer lacks is installed after consent, with the real pip; the engine's Python is never Slicer's own."""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from clicking import somebody
from pythonqt import Answers
from scenes import ENGINE, MODULE, PHANTOM_MODEL, opened_scene, volume_node, voxels_of

from boltzformer.io.phantom import BRIGHT, phantom
from BoltzFormerLib import install
from BoltzFormerLib.files import read_segmentation, read_volume, write
from BoltzFormerLib.geometry import ijk_to_ras

PHANTOM = phantom(7, (16, 72, 80))


@pytest.mark.slicer("Packages installed after consent, Slicer's own kept", "imitation")
def test_nothing_is_installed_without_consent_and_slicers_numpy_stays(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def real_pip(arguments: list[str]) -> None:
        """Into a folder of its own; what Slicer has must not be asked for in another version."""
        asked.append(arguments)
        kept = Path(arguments[arguments.index("-c") + 1])
        assert f"numpy=={np.__version__}" in kept.read_text("utf-8").splitlines()
        wanted = ["--no-deps", "--target", str(tmp_path / "there"), *arguments]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)

    said: list[str] = []
    assert install.ask_and_install(lambda question, **_: said.append(question) is not None, real_pip) is False
    assert asked == []
    assert "stay as they are" in said[0]
    assert install.SIZE in said[0]
    assert install.ask_and_install(lambda question, **_: True, real_pip) is True
    assert asked[0][-1] == f"{MODULE.parents[1]}[desk]"  # this checkout, for no index may know it yet
    assert (tmp_path / "there" / "boltzformer").is_dir()


@pytest.mark.slicer("Packages installed after consent, Slicer's own kept", "imitation")
def test_a_module_that_came_without_the_repository_asks_the_index(tmp_path: Path) -> None:
    alone = tmp_path / "lib" / "Slicer-5.12" / "qt-scripted-modules" / "install.py"
    alone.parent.mkdir(parents=True)
    shutil.copy(install.__file__, alone)
    spec = spec_from_file_location("install_alone", alone)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.requirement() == install.REQUIREMENT


@pytest.mark.slicer("Packages installed after consent, Slicer's own kept", "imitation")
def test_the_panel_waits_for_packages_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = ["scipy"]
    monkeypatch.setattr(install, "NEEDED", (*install.NEEDED, "no_such_package"))
    with somebody() as person:
        assert person.panel is None
        assert "no_such_package" in person.said
        assert not person.ui.findButton.enabled
        Answers.yes = False
        person.clicks(person.ui.noticeButton)
        assert person.panel is None
        monkeypatch.setattr(install, "NEEDED", install.NEEDED[:-1])
        monkeypatch.setattr(install, "_installer", lambda: lacking.append)
        Answers.yes = True
        person.clicks(person.ui.noticeButton)
        assert person.module.panel is not None
        assert person.ui.findButton.enabled


@pytest.mark.slicer("Bad input: one sentence each", "imitation")
def test_another_slicer_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install.too_old(5, 10) == install.too_old(6, 0) == ""
    assert "needs Slicer 5.10 or newer; this is 5.8" in install.too_old(5, 8)
    monkeypatch.setattr(install, "OLDEST_SLICER", (9, 0))
    with somebody() as person:
        assert person.said.startswith("BoltzFormer needs Slicer 9.0")
        assert not person.ui.findButton.enabled


@pytest.mark.slicer("The engine's Python beside Slicer's", "real MRML")
def test_a_python_of_the_systems_is_found_and_slicers_own_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python3.12").symlink_to(sys.executable)  # Slicer's own
    (folder / "python3.11").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")  # without venv
    good = folder / "python3"
    good.write_text(f'#!/bin/sh\n[ -z "$PYTHONHOME" ] && exec "{ENGINE}" "$@"\n', encoding="utf-8")
    for one in ("python3.11", "python3"):
        (folder / one).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "slicer"))
    assert install.system_python() == str(good)
    good.unlink()
    assert install.system_python() == ""


@pytest.mark.slicer("BoltzFormerLogic: from scripts, waiting or not", "real MRML")
def test_scripts_ask_the_logic_and_wait_or_do_not(scene: Any) -> None:
    sys.path.insert(0, str(MODULE))
    import BoltzFormer

    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    logic = BoltzFormer.BoltzFormerLogic()
    how: dict[str, Any] = {"model": str(PHANTOM_MODEL), "python": ENGINE, "slices": [7, 8]}
    segmentation = logic.segment(node, BRIGHT, **how)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1
    running = logic.segment(node, [BRIGHT], segmentation, wait=False, **how)
    assert not running.done
    while not running.poll():
        pass
    assert running.sentence.startswith("Looked in 2 slices")
    assert running.segmentation is segmentation
    assert voxels_of(segmentation, running.segments[BRIGHT], node).any()
    logic.close()


@pytest.mark.slicer("Files through Slicer's storage: NIfTI, NRRD, MetaImage, .seg.nrrd", "real MRML")
def test_what_is_written_is_read_again_where_it_was(tmp_path: Path) -> None:
    with opened_scene() as scene:
        turned = np.diag([0.8, -0.9, 2.5, 1.0])
        turned[:3, 3] = 12, -34, 56
        array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
        node = volume_node(array, turned)
        handed = np.linalg.det(turned[:3, :3]) < 0
        for name in ("a.nii.gz", "b.nrrd", "c.mha"):
            write(node, tmp_path / name)
            again = read_volume(scene, tmp_path / name)
            ras, theirs = ijk_to_ras(again), slicer.util.arrayFromVolume(again)
            back = theirs[::-1] if handed else theirs  # Slicer makes it right-handed
            assert np.array_equal(back, array)
            if handed:
                ras[:3, 3] += 2 * ras[:3, 2]
                ras[:3, 2] *= -1
            assert np.allclose(ras, turned, atol=1e-4)
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(node)
        segmentation.GetSegmentation().AddEmptySegment("x", "x")
        slicer.util.updateSegmentBinaryLabelmapFromArray((array % 7 == 0).astype(np.uint8), segmentation, "x", node)
        write(segmentation, tmp_path / "m.seg.nrrd")
        assert np.array_equal(voxels_of(read_segmentation(scene, tmp_path / "m.seg.nrrd"), "x", node), array % 7 == 0)
