"""A run on real MRML with a real engine: live, equal to the command line's, cancelled, its scene pulled away."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from scenes import ENGINE, PHANTOM_MODEL, ROOT, under_transform, volume_node, voxels_of
from storage_orders import rotation

from boltzformer import BoltzFormerError, Session
from boltzformer.io.phantom import BRIGHT, DARK, phantom
from BoltzFormerLib.geometry import ijk_to_ras
from BoltzFormerLib.scripted import Segmenting
from BoltzFormerLib.segmentations import PROMPT_TAG

PHANTOM = phantom(7, (16, 72, 80))
SAVED = """
import json, sys
import numpy as np
from boltzformer import Grid, Volume, io
from boltzformer.io.phantom import phantom
volume = phantom(7, (16, 72, 80)).volume
axes = json.loads(sys.argv[2])
io.write_volume(Volume(volume.array, Grid(volume.grid.shape, axes, volume.grid.origin)), sys.argv[1])
"""
READ = """
import sys
import numpy as np
from boltzformer import io
mask = io.read(sys.argv[1])
np.save(sys.argv[2], np.ascontiguousarray(mask.array > 0))
np.save(sys.argv[3], mask.grid.ras)
"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session.local(PHANTOM_MODEL, python=ENGINE) as one:
        yield one


def engine(*arguments: object) -> None:
    """Runs the engine's Python, which has what reads and writes images."""
    subprocess.run([ENGINE, *map(str, arguments)], check=True, capture_output=True, cwd=ROOT)


def read_by_slicer(scene: Any, path: Path) -> Any:
    """As the application's reader does it."""
    node, storage = (
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", path.name),
        slicer.vtkMRMLVolumeArchetypeStorageNode(),
    )
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def same_in_the_world(node: Any, ours: Any, theirs: Any, ras: Any) -> bool:
    """Voxel for voxel: each of our voxels is looked up where it lies, in the other grid."""
    to_theirs = np.linalg.inv(ras) @ ijk_to_ras(node)
    k, j, i = np.indices(ours.shape).reshape(3, -1)
    there = to_theirs @ np.stack([i, j, k, np.ones_like(i)])
    rounded = np.rint(there[:3]).astype(int)
    assert np.abs(there[:3] - rounded).max() < 1e-3
    found = theirs[rounded[2], rounded[1], rounded[0]].reshape(ours.shape)
    return bool(np.array_equal(found, ours))


@pytest.mark.slicer("The same mask as the command line's, voxel for voxel", "real MRML")
@pytest.mark.parametrize("lies", ["plain", "left-handed", "k flipped, with its grid", "under a transform"])
def test_the_module_and_the_command_line_give_one_mask(scene: Any, session: Session, tmp_path: Path, lies: str) -> None:
    path, turned = tmp_path / "image.nii.gz", rotation(9, -4, 12)
    axes = turned * np.array([1.0, 1.0, 2.5]) * (np.array([1, 1, -1]) if lies == "left-handed" else 1)
    engine("-c", SAVED, path, json.dumps(axes.tolist()))
    where = ["--slices", "4:12", "--seed", "3", "--model", PHANTOM_MODEL]
    engine("-m", "boltzformer", "segment", path, "-p", BRIGHT, "-o", tmp_path / "mask.nii.gz", *where)
    engine("-c", READ, tmp_path / "mask.nii.gz", tmp_path / "mask.npy", tmp_path / "ras.npy")
    theirs, ras = np.load(tmp_path / "mask.npy"), np.load(tmp_path / "ras.npy")

    node = read_by_slicer(scene, path)
    handed = np.linalg.det(ijk_to_ras(node)[:3, :3])
    if lies == "left-handed":
        assert np.linalg.det(ras[:3, :3]) * handed < 0  # Slicer reverses k on reading
    slices = range(4, 12)
    if np.linalg.det(ras[:3, :3]) * handed < 0:
        slices = range(15 - 11, 15 - 3)
    if lies == "k flipped, with its grid":
        flipped = ijk_to_ras(node)
        flipped[:3, 3] += 15 * flipped[:3, 2]
        flipped[:3, 2] *= -1
        node, slices = volume_node(slicer.util.arrayFromVolume(node)[::-1], flipped), range(15 - 11, 15 - 3)
    if lies == "under a transform":
        above = np.eye(4)
        above[:3, :3], above[:3, 3] = rotation(20, 35, -50), (7.3, -40, 12)
        under_transform(scene, node, above)
    segmenting = Segmenting(node, [BRIGHT], None, session, seed=3, slices=slices)
    segmentation = segmenting.wait()
    ours = voxels_of(segmentation, segmenting.segments[BRIGHT], node)
    assert ours.any()
    assert same_in_the_world(node, ours, theirs, ras)
    assert segmentation.GetTransformNodeID() == node.GetTransformNodeID()


@pytest.mark.slicer("Masks appear live, named, coloured, with term and prompt", "real MRML")
def test_two_prompts_fill_two_segments_while_the_run_goes_on(scene: Any, session: Session) -> None:
    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    segmenting, seen = Segmenting(node, [BRIGHT, DARK], None, session), set()
    while not segmenting.poll():
        if segmenting.segmentation is not None:
            seen.add(segmenting.progress[0])
    assert len(seen) > 3  # it was watched while it grew
    segmentation = segmenting.wait()
    assert "Looked in 16 slices" in segmenting.sentence
    for text, truth in ((BRIGHT, 1), (DARK, 2)):
        identity = segmenting.segments[text]
        segment = segmentation.GetSegmentation().GetSegment(identity)
        assert segment.GetName() == text
        assert not segment.GetNameAutoGenerated()
        tag = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentStatus(segment)
        assert tag == slicer.vtkSlicerSegmentationsModuleLogic.InProgress
        assert segment.HasTag(PROMPT_TAG)
        ours, wanted = voxels_of(segmentation, identity, node), PHANTOM.labels.layers[0] == truth
        assert (ours & wanted).sum() > 0.5 * wanted.sum()
    colours = [segmentation.GetSegmentation().GetSegment(one).GetColor() for one in segmenting.segments.values()]
    assert len(set(colours)) == 2


@pytest.mark.slicer("Overlapping masks, .seg.nrrd and back", "real MRML")
def test_prompts_that_overlap_keep_their_own_voxels_and_survive_a_file(
    scene: Any, session: Session, tmp_path: Path
) -> None:
    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    first = Segmenting(node, [BRIGHT], None, session)
    segmentation = first.wait()
    before = voxels_of(segmentation, first.segments[BRIGHT], node)
    other = Segmenting(node, ["bright spot"], segmentation, session)
    assert other.wait() is segmentation
    identity = other.segments["bright spot"]
    segment = segmentation.GetSegmentation().GetSegment(identity)
    labelmap = segment.GetRepresentation("Binary labelmap")
    labelmap.GetPointData().GetScalars().Fill(segment.GetLabelValue())  # over everything
    labelmap.Modified()
    assert np.array_equal(voxels_of(segmentation, first.segments[BRIGHT], node), before)
    path = tmp_path / "both.seg.nrrd"
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(segmentation)
    again, reader = scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), slicer.vtkMRMLSegmentationStorageNode()
    reader.SetFileName(str(path))
    assert reader.ReadData(again)
    assert np.array_equal(voxels_of(again, first.segments[BRIGHT], node), before)
    assert voxels_of(again, identity, node).all()
    assert again.GetSegmentation().GetSegment(identity).HasTag(PROMPT_TAG)


def running(segmenting: Segmenting, until: Callable[[], bool]) -> None:
    while not segmenting.poll() and not until():
        pass


@pytest.mark.slicer("Cancel: what was finished stays", "real MRML")
def test_a_cancelled_run_keeps_what_it_finished(scene: Any, session: Session) -> None:
    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    segmenting = Segmenting(node, [BRIGHT], None, session)
    running(segmenting, lambda: segmenting.progress[0] >= 3)
    segmenting.cancel()
    segmentation = segmenting.wait()
    assert segmenting.sentence.startswith("Cancelled; what was finished is kept.")
    assert 3 <= segmenting.progress[0] < 16
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 1


@pytest.mark.slicer("Scene closed, volume or segment removed in mid-run", "real MRML")
@pytest.mark.parametrize("gone", ["scene", "volume", "segmentation", "segment"])
def test_what_is_pulled_away_in_mid_run_ends_it_quietly(scene: Any, session: Session, gone: str) -> None:
    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    segmenting = Segmenting(node, [BRIGHT], None, session)
    running(segmenting, lambda: segmenting.progress[0] >= 2)
    if gone == "scene":
        scene.Clear(0)
    elif gone == "volume":
        scene.RemoveNode(node)
    elif gone == "segmentation":
        scene.RemoveNode(segmenting.segmentation)
    else:
        segmenting.segmentation.GetSegmentation().RemoveSegment(segmenting.segments[BRIGHT])
    segmenting.wait()
    assert segmenting.done
    if gone in ("segmentation", "segment"):
        assert "The segment of 'bright blob' was removed or changed" in segmenting.sentence
    # the same engine serves the next scene
    again = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    assert Segmenting(again, [BRIGHT], None, session, slices=[8]).wait() is not None


@pytest.mark.slicer("Bad input: one sentence each", "real MRML")
def test_what_cannot_be_asked_is_said_in_one_sentence(scene: Any, session: Session, tmp_path: Path) -> None:
    node = volume_node(PHANTOM.volume.array, PHANTOM.volume.grid.ras)
    for volume, prompts, said in (
        (None, [BRIGHT], "There is no volume"),
        (node, ["  "], "There is no prompt"),
    ):
        with pytest.raises(BoltzFormerError, match=said):
            Segmenting(volume, prompts, None, session)
    nobody = Session.local(PHANTOM_MODEL, python=str(tmp_path / "no-python"))
    with nobody, pytest.raises(BoltzFormerError, match="The engine can't be started"):
        Segmenting(node, [BRIGHT], None, nobody).wait()
    with Session.local(PHANTOM_MODEL, python=ENGINE) as dying:
        segmenting = Segmenting(node, [BRIGHT], None, dying)
        running(segmenting, lambda: segmenting.progress[0] >= 2)
        os.kill(dying.backend().process.pid, 9)
        with pytest.raises(BoltzFormerError):
            segmenting.wait()
        assert segmenting.segmentation.GetSegmentation().GetNumberOfSegments() == 1  # nothing is lost
