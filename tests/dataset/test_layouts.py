"""Annotated images arrive from other layouts and leave for them with every voxel, name and split in place."""

import json
from pathlib import Path

import numpy as np
import pytest
from annotated import SHAPE, annotate, image
from PIL import Image

from boltzformer import Grid, LabelMap, Prompt, Volume, io
from boltzformer.dataset import Case, Dataset
from boltzformer.dataset.layouts import (
    read_biomedparse,
    read_nnunet,
    read_pair,
    read_pairs,
    read_rows,
    take_in,
    write_manifest,
    write_nnunet,
)
from boltzformer.errors import DatasetError
from boltzformer.knowledge.manifest import part_of, read_manifest, read_split
from boltzformer.types import Annotation, SliceState

UNSEEN, REVIEWED, EMPTY, IGNORED = SliceState
SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"real images are not at {SHARED}")


def write_png(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def picture(seed: int, shape: tuple[int, ...] = (20, 30)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def square(value: int = 255) -> np.ndarray:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:8, 5:9] = value
    return mask


def only(store: Dataset) -> Case:
    [case] = store.cases()
    return case


def taken(store: Dataset, several) -> list[Case]:  # type: ignore[no-untyped-def]
    results = list(take_in(store, several))
    assert [one.error for one in results if one.error] == []
    return [store.case(one.revision.folder.parents[1].name) for one in results if one.revision]


def test_pairs_in_two_folders(store: Dataset, tmp_path: Path) -> None:
    for n in range(3):
        write_png(tmp_path / f"images/p{n}.png", picture(n))
        write_png(tmp_path / f"masks/p{n}_mask.png", square() if n else square(0))
    write_png(tmp_path / "images/without.png", picture(9))
    cases = taken(store, read_pairs(tmp_path, {1: "polyp"}, modality="endoscopy"))
    assert [case.states for case in cases] == [{"polyp": (EMPTY,)}, {"polyp": (REVIEWED,)}, {"polyp": (REVIEWED,)}]
    assert np.array_equal(cases[1].volume.array[0], picture(1))
    assert np.array_equal(cases[1].mask("polyp")[0], square() > 0)
    assert {case.modality for case in cases} == {"endoscopy"}
    assert len({case.group for case in cases}) == 3


def test_pairs_beside_each_other_with_a_mask_per_target(store: Dataset, tmp_path: Path) -> None:
    volume = image()
    io.write_volume(volume, tmp_path / "scan.nii.gz")
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, 1:4, 1:7, 1:7], layers[1, 2, 3, 3] = 1, 2
    io.write(LabelMap(layers, volume.grid, {1: "kidney", 2: "kidney cyst"}), tmp_path / "scan.nii.gz.seg.nrrd")
    (tmp_path / "scan.nii.gz.seg.nrrd").rename(tmp_path / "scan_seg.seg.nrrd")
    write_png(tmp_path / "a.png", picture(1))
    write_png(tmp_path / "a_2.png", picture(2))  # another image, not a mask of a
    write_png(tmp_path / "a__left+lung.png", square())
    write_png(tmp_path / "a__right_lung.png", square(0))
    cases = taken(store, read_pairs(tmp_path))
    assert [list(case.states) for case in cases] == [["left lung", "right lung"], ["kidney", "kidney cyst"]]
    assert cases[0].states["right lung"] == (EMPTY,)
    assert cases[1].mask("kidney cyst").sum() == 1
    assert cases[1].mask("kidney").sum() == 108


def test_neighbouring_slices_and_named_patients_stay_together(store: Dataset, tmp_path: Path) -> None:
    for n, name in enumerate(["anna_slice_01", "anna_slice_02", "bert_slice_01"]):
        write_png(tmp_path / f"images/{name}.png", picture(n))
        write_png(tmp_path / f"masks/{name}.png", square())
    groups = [case.group for case in taken(store, read_pairs(tmp_path, {1: "x"}))]
    assert groups[0] == groups[1] != groups[2]
    other = Dataset.at(tmp_path / "other")
    groups = [case.group for case in taken(other, read_pairs(tmp_path, {1: "x"}, pattern="slice_(..)"))]
    assert groups[0] == groups[2] != groups[1]
    with pytest.raises(DatasetError, match="no regular expression"):
        list(read_pairs(tmp_path, {1: "x"}, pattern="("))
    with pytest.raises(DatasetError, match="finds no patient"):
        list(read_pairs(tmp_path, {1: "x"}, pattern="carl"))


def test_importing_twice_adds_nothing_and_a_bad_file_stops_nobody(store: Dataset, tmp_path: Path) -> None:
    for n in range(3):
        write_png(tmp_path / f"images/p{n}.png", picture(n))
        write_png(tmp_path / f"masks/p{n}.png", square())
    (tmp_path / "images/p1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    first = list(take_in(store, read_pairs(tmp_path, {1: "x"})))
    before = store.fingerprint()
    assert [bool(one.error) for one in first] == [False, True, False]
    assert "p1.png is damaged" in first[1].error
    list(take_in(store, read_pairs(tmp_path, {1: "x"})))
    assert store.fingerprint() == before


def test_masks_that_nobody_named_or_on_another_grid_are_refused(store: Dataset, tmp_path: Path) -> None:
    write_png(tmp_path / "images/p.png", picture(0))
    write_png(tmp_path / "masks/p.png", square(3))
    [one] = take_in(store, read_pairs(tmp_path))
    assert "Nobody says what the value 3" in one.error
    write_png(tmp_path / "masks/p.png", square()[:-1])
    [one] = take_in(store, read_pairs(tmp_path, {1: "x"}))
    assert "does not lie on the grid" in one.error
    with pytest.raises(DatasetError, match=r"holds no pairs.*X_mask\.nii\.gz"):
        list(read_pairs(tmp_path / "images"))


@needs_shared
def test_real_volumes_with_their_label_descriptions(store: Dataset) -> None:
    name = "mr_brain_flair_ms_patient19"
    image_file, mask = SHARED / f"volumes/{name}.nii.gz", SHARED / f"volumes/{name}__label.nii.gz"
    [case] = taken(store, [read_pair(image_file, {mask: ""}, modality="MR")])
    volume = io.read(image_file)
    assert np.array_equal(case.volume.array, volume.array)
    assert case.volume.grid == volume.grid
    assert np.array_equal(case.mask("MS lesion"), io.read_labels(mask).mask(1))
    assert len(case.texts("MS lesion")) == 3
    assert len(case.lessons) == volume.grid.shape[case.axis]


@needs_shared
def test_a_real_manifest_there_and_back(store: Dataset, tmp_path: Path) -> None:
    lines = (SHARED / "train/manifest.jsonl").read_text("utf-8").splitlines()[::300]
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["image"], row["mask"] = (str(SHARED / "train" / row[key]) for key in ("image", "mask"))
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (tmp_path / "split.json").write_bytes((SHARED / "train/split.json").read_bytes())
    validation = read_split(tmp_path / "split.json")
    cases = taken(store, read_rows(tmp_path / "manifest.jsonl"))
    assert len(cases) == len({row["image"] for row in rows})
    for case, row in zip(cases, rows, strict=True):
        assert case.split == ("validation" if row["group_id"] in validation else "train")
        assert case.texts(row["target"]) == tuple(row["prompts"])
        assert case.origin["licence"] == row["licence"]
        assert np.array_equal(case.mask(row["target"])[0], np.asarray(Image.open(row["mask"])) > 127)
    assert {case.split for case in cases} == {"train", "validation"}

    assert write_manifest(store, tmp_path / "out") == len(rows)
    back = read_manifest(tmp_path / "out/manifest.jsonl")
    held_back = read_split(tmp_path / "out/split.json")
    assert len(part_of(back, held_back, "validation")) == sum(row["group_id"] in validation for row in rows)
    again = Dataset.at(tmp_path / "again")
    twin = {case.mask(label).tobytes(): case for case in taken(again, read_rows(tmp_path / "out/manifest.jsonl"))
            for label in case.states}  # fmt: skip
    for case in cases:
        for label in case.states:
            other = twin[case.mask(label).tobytes()]
            assert (other.split, other.modality, other.texts(label)) == (case.split, case.modality, case.texts(label))
            assert other.origin["licence"] == case.origin["licence"]


def test_a_manifest_keeps_absent_targets_and_leaves_the_unknown_out(store: Dataset, tmp_path: Path) -> None:
    store.add(annotate(reviewed=(1, 2), ignored=(3,), painted=(1, 3)), patient="a")
    store.add(annotate(image(2), reviewed=(0,), painted=(0,)), patient="b", split="test")
    assert write_manifest(store, tmp_path / "out") == 3
    rows = read_manifest(tmp_path / "out/manifest.jsonl")
    assert sorted((row.notes["slice"], row.mask is None) for row in rows) == [(0, False), (1, False), (2, True)]
    assert {row.group for row in rows if row.notes["slice"] == 0} == read_split(tmp_path / "out/split.json")
    again = Dataset.at(tmp_path / "again")
    states = [case.states["lung nodule"] for case in taken(again, read_rows(tmp_path / "out/manifest.jsonl"))]
    assert sorted(states) == [(REVIEWED,), (REVIEWED,), (EMPTY,)]
    with pytest.raises(DatasetError, match="exists already"):
        write_manifest(store, tmp_path / "out")


def nnunet(folder: Path, labels: dict[str, object], arrays: list[np.ndarray], part: str = "Tr") -> Path:
    for n, array in enumerate(arrays):
        volume = image(n)
        (folder / f"images{part}").mkdir(parents=True, exist_ok=True)
        (folder / f"labels{part}").mkdir(exist_ok=True)
        io.write_volume(volume, folder / f"images{part}" / f"p{n}_0000.nii.gz")
        io.write_volume(Volume(array, volume.grid), folder / f"labels{part}" / f"p{n}.nii.gz")
    about = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": len(arrays), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def test_an_nnunet_dataset_with_regions_and_ignored_voxels(store: Dataset, tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.uint8)
    array[1, 2:4], array[1, 3], array[4, 0, 0] = 1, 2, 3
    folder = nnunet(tmp_path / "d", {"background": 0, "tumour": [1, 2], "core": 2, "ignore": 3}, [array])
    [case] = taken(store, read_nnunet(folder))
    assert case.states["tumour"] == (EMPTY, REVIEWED, EMPTY, EMPTY, IGNORED, EMPTY)
    assert np.array_equal(case.mask("tumour")[1], np.isin(array[1], (1, 2)))
    assert np.array_equal(case.mask("core")[1], array[1] == 2)
    assert case.modality == "CT"


def test_an_nnunet_dataset_of_the_decathlons_form(store: Dataset, tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.uint8)
    array[2, 2, 2] = 255
    folder = nnunet(tmp_path / "d", {"0": "background", "255": "lesion"}, [array])
    (folder / "imagesTr/p0_0000.nii.gz").rename(folder / "imagesTr/p0.nii.gz")
    [case] = taken(store, read_nnunet(folder))
    assert np.argwhere(case.mask("lesion")).tolist() == [[2, 2, 2]]
    array[0, 0, 0] = 9
    [one] = take_in(Dataset.at(tmp_path / "other"), read_nnunet(nnunet(tmp_path / "e", {"lesion": 255}, [array])))
    assert "the value 9, which dataset.json does not name" in one.error
    with pytest.raises(DatasetError, match="no channel 4"):
        list(read_nnunet(folder, channel=4))


def test_an_nnunet_export_comes_back_the_same(store: Dataset, tmp_path: Path) -> None:
    for n in range(5):
        store.add(annotate(image(n), reviewed=(0, 1, 2), ignored=(4,), painted=(1,)), patient=str(n))
    store.add(annotate(image(9)), patient="t", split="test")
    assert write_nnunet(store, tmp_path / "Dataset001_X") == 6
    about = json.loads((tmp_path / "Dataset001_X/dataset.json").read_text("utf-8"))
    assert about["labels"] == {"background": 0, "lung nodule": 1, "ignore": 2}
    assert (about["numTraining"], about["channel_names"]) == (5, {"0": "CT"})
    [fold] = json.loads((tmp_path / "Dataset001_X/splits_final.json").read_text("utf-8"))
    sides = {case.id: case.split for case in store.cases()}
    assert sorted(fold["train"]) == sorted(name for name, side in sides.items() if side == "train")
    assert sorted(fold["val"]) == sorted(name for name, side in sides.items() if side == "validation")
    again = Dataset.at(tmp_path / "again")
    taken(again, read_nnunet(tmp_path / "Dataset001_X"))
    by_image = {case.image_sha256: case for case in again.cases()}
    for case in store.cases():
        other = by_image[case.image_sha256]
        assert other.grid.same_as(case.grid)
        assert np.array_equal(other.mask("lung nodule"), case.mask("lung nodule") & (other.mask("lung nodule")))
        for was, now in zip(case.states["lung nodule"], other.states["lung nodule"], strict=True):
            assert now is (IGNORED if was in (UNSEEN, IGNORED) else was)
        assert (other.split == "test") == (case.split == "test")


def test_overlapping_labels_leave_as_regions_and_come_back(store: Dataset, tmp_path: Path) -> None:
    volume = image()
    layers = np.zeros((2, *SHAPE), np.uint8)
    layers[0, 1:4, 1:7, 1:7], layers[1, 2, 3, 3:5] = 1, 2
    said = {"kidney": (REVIEWED,) * 6, "tumour": (REVIEWED,) * 6}
    given = Annotation(volume, LabelMap(layers, volume.grid, {1: "kidney", 2: "tumour"}), (Prompt("kidney"),), said)
    store.add(given)
    write_nnunet(store, tmp_path / "out")
    about = json.loads((tmp_path / "out/dataset.json").read_text("utf-8"))
    assert about["labels"] == {"background": 0, "kidney": [1, 2], "tumour": [2], "ignore": 3}
    assert about["regions_class_order"] == [1, 2]  # what encloses is painted first
    again = Dataset.at(tmp_path / "again")
    [case] = taken(again, read_nnunet(tmp_path / "out"))
    assert np.array_equal(case.mask("kidney"), only(store).mask("kidney"))
    assert np.array_equal(case.mask("tumour"), only(store).mask("tumour"))


def test_a_label_that_was_not_asked_of_a_case_is_ignored_there_by_nnunet(store: Dataset, tmp_path: Path) -> None:
    store.add(annotate(image(1), reviewed=range(6)), patient="a")
    store.add(annotate(image(2), reviewed=range(6), name="cyst"), patient="b")
    write_nnunet(store, tmp_path / "out")
    for path in (tmp_path / "out/labelsTr").iterdir():
        assert np.unique(io.read(path).array).tolist() == [3]


def test_a_colour_picture_leaves_as_three_channels(store: Dataset, tmp_path: Path) -> None:
    colours = picture(3, (1, 20, 30, 3))
    volume = Volume(colours, Grid.pixels((1, 20, 30)), "fundus")
    store.add(annotate(volume, reviewed=(0,), painted=(0,)))
    write_nnunet(store, tmp_path / "out")
    read = [io.read(path).array for path in sorted((tmp_path / "out/imagesTr").iterdir())]
    assert np.array_equal(np.stack(read, axis=-1), colours)


def biomedparse(root: Path, slices: np.ndarray, labels: np.ndarray, numbers: list[int], instances: int = 0) -> None:
    """As the released preprocessing lays a volume out: OpenCV turns (this, before, after) round."""
    rows = []
    for n, number in enumerate(numbers):
        before, after = slices[max(n - 1, 0)], slices[min(n + 1, len(slices) - 1)]
        name = f"case_7_{number:03d}.png"
        write_png(root / "train" / name, np.stack([after, before, slices[n]], axis=-1))
        write_png(root / "train_mask" / name, labels[n])
        rows.append({"file_name": name, "mask_file": name, "split": "train", "class_ids": []})
    classes = {"1": ["liver", "hepatic organ"], "2": ["spleen"], "instance_label": instances}
    (root / "train.json").write_text(json.dumps({"class_prompts": classes, "annotations": rows}))


def test_biomedparse_slices_become_volumes_again(store: Dataset, tmp_path: Path) -> None:
    slices, labels = picture(0, (5, 20, 20)), np.zeros((5, 20, 20), np.uint8)
    labels[0, 3:6, 3:6], labels[1, 8, 8] = 1, 2
    biomedparse(tmp_path / "processed", slices, labels, [0, 1, 2, 7, 8])
    cases = taken(store, read_biomedparse(tmp_path, modality="CT"))
    assert [case.grid.shape[0] for case in cases] == [3, 2]  # what lies between 2 and 7 is not in the files
    assert np.array_equal(cases[0].volume.array, slices[:3])
    assert cases[0].states == {"liver": (REVIEWED, EMPTY, EMPTY), "spleen": (EMPTY, REVIEWED, EMPTY)}
    assert cases[0].texts("liver") == ("liver", "hepatic organ")
    assert cases[0].group == cases[1].group
    assert np.array_equal(cases[0].mask("liver"), labels[:3] == 1)


def test_biomedparse_objects_with_numbers_of_their_own_are_one_label(store: Dataset, tmp_path: Path) -> None:
    slices, labels = picture(0, (2, 20, 20)), np.zeros((2, 20, 20), np.uint8)
    labels[0, 3, 3], labels[1, 8, 8] = 255, 17
    biomedparse(tmp_path, slices, labels, [0, 1], instances=1)
    [case] = taken(store, read_biomedparse(tmp_path))
    assert np.array_equal(case.mask("liver"), labels > 0)
    assert list(case.states) == ["liver"]


def test_biomedparse_pictures_of_the_first_version(store: Dataset, tmp_path: Path) -> None:
    name = "img_0001_X-Ray_chest"
    write_png(tmp_path / f"test/{name}.png", picture(1, (20, 30, 3)))
    rows = []
    for target, value in (("left+lung", 255), ("nodule", 1)):
        write_png(tmp_path / f"test_mask/{name}_{target}.png", square(value))
        said = f"{target.replace('+', ' ')} in chest X-Ray"
        rows.append({"file_name": f"{name}.png", "mask_file": f"{name}_{target}.png", "sentences": [{"sent": said}]})
    (tmp_path / "test.json").write_text(json.dumps({"annotations": rows}))
    [case] = taken(store, read_biomedparse(tmp_path))
    assert (case.split, case.modality) == ("test", "X-Ray")
    assert case.states == {"left lung": (REVIEWED,), "nodule": (REVIEWED,)}
    assert case.texts("left lung") == ("left lung in chest X-Ray",)
    assert np.array_equal(case.volume.array[0], picture(1, (20, 30, 3)))
    assert np.array_equal(case.mask("nodule")[0], square() > 0)
    (tmp_path / "test.json").write_text("{}")
    with pytest.raises(DatasetError, match="lists no annotations"):
        list(read_biomedparse(tmp_path))
