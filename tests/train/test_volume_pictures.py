"""Slices of labelled volumes are learnt from as a user's volume is seen: canonical, whole, the empty ones, too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Grid
from boltzformer.image.slicing import SlicePlan
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.corpus import Corpus
from boltzformer.learn.volume_pictures import hash_of_volumes, pictures_of_volumes
from boltzformer.types import LabelMap, Volume


def labelled(folder: Path, name: str = "one", **changes: Any) -> Volume:
    """A volume of twelve slices, stored back to front and upside down, with a part in slices 3…5 and one in 5."""
    rng = np.random.default_rng(0)
    grid = Grid((12, 20, 30), ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -3.0)), (0.0, 0.0, 0.0))
    volume = Volume(rng.integers(0, 900, grid.shape).astype(np.int16), grid)
    labels = np.zeros(grid.shape, np.uint8)
    labels[3:6, 2:8, 3:6] = 1
    labels[5, 12:18, 20:28] = 2
    folder.mkdir(parents=True, exist_ok=True)
    io.write_volume(volume, folder / f"{name}.nii.gz", overwrite=True)
    io.write(LabelMap(labels[None], grid, {1: "head", 2: "tail"}), folder / f"{name}__label.nii.gz", overwrite=True)
    said = {
        "image": f"{name}.nii.gz",
        "label": f"{name}__label.nii.gz",
        "labels": {"1": {"target": "head", "prompts": ["the head"]}, "2": {"target": "tail", "prompts": ["the tail"]}},
        "modality": "MRI",
        "anatomy": "brain",
        "case_id": f"case {name}",
        "commercial_use": "licence_allows",
    }
    (folder / f"{name}.json").write_text(json.dumps({**said, **changes}))
    return volume


def test_every_slice_is_shown_as_the_engine_shows_it(tmp_path: Path) -> None:
    volume = labelled(tmp_path)
    pictures = {picture.index: picture for picture in pictures_of_volumes(tmp_path)}
    assert sorted(pictures) == list(range(12))
    plan = SlicePlan.of(volume.grid, 30, volume.slice_axis)
    window = volume.window()
    for index, picture in pictures.items():
        assert set(picture.masks) == {"head", "tail"}
        assert bool(picture.masks["head"].any()) == (index in (3, 4, 5))
        assert bool(picture.masks["tail"].any()) == (index == 5)
        wide = np.zeros((30, 30), np.uint8)
        wide[5:25] = picture.pixels[0].numpy()
        assert np.array_equal(wide, plan.network_slice(volume.array, window, index)[0])
    assert bool(pictures[4].masks["head"][12:18, 24:27].all())  # turned by half in the canonical view


def test_slices_are_drawn_by_their_place_and_empty_ones_when_asked(tmp_path: Path, rows: tuple[Row, ...]) -> None:
    labelled(tmp_path)
    labelled(tmp_path, "two")
    corpus = Corpus(rows, volumes=pictures_of_volumes(tmp_path))
    assert {"head", "tail"} <= set(corpus.targets)

    def drawn(vacant: float) -> list[tuple[int, bool]]:
        rng, found = np.random.default_rng(0), []
        while len(found) < 60:
            choice = corpus.choose(rng, present=2, paste=1.0, vacant=vacant)
            if choice.focus in ("head", "tail"):
                assert {name for name, _ in choice.asked[:2]} == {"head", "tail"}
                assert not choice.donors
                assert choice.picture.index is not None
                found.append((choice.picture.index, bool(choice.picture.masks[choice.focus].any())))
        return found

    assert all(there for _, there in drawn(0.0))
    assert {index for index, _ in drawn(0.0)} == {3, 4, 5}
    assert not any(there for _, there in drawn(1.0))
    assert len({index for index, _ in drawn(1.0)}) > 6
    assert 0.3 < np.mean([there for _, there in drawn(0.5)]) < 0.7


def test_only_what_the_licence_allows_is_learnt_from(tmp_path: Path) -> None:
    labelled(tmp_path, commercial_use="restricted_or_unclear")
    with pytest.raises(BoltzFormerError, match="whose licence allows"):
        list(pictures_of_volumes(tmp_path))
    labelled(tmp_path, "two")
    assert {picture.group for picture in pictures_of_volumes(tmp_path)} == {"case two"}


def test_a_description_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    labelled(tmp_path)
    for wrong in ("{", "[]", '{"image": "x"}', '{"image": "x", "label": "y", "case_id": "c", "labels": {"a": {}}}'):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(BoltzFormerError, match="does not describe a labelled volume"):
            list(pictures_of_volumes(tmp_path))


def test_the_hash_tells_other_volumes_apart(tmp_path: Path) -> None:
    labelled(tmp_path / "a")
    labelled(tmp_path / "b")
    assert hash_of_volumes(tmp_path / "a") == hash_of_volumes(tmp_path / "b")
    labelled(tmp_path / "b", "two")
    assert hash_of_volumes(tmp_path / "a") != hash_of_volumes(tmp_path / "b")


def test_their_pixels_are_bytes_whatever_was_stored(tmp_path: Path) -> None:
    labelled(tmp_path)
    assert all(
        one.pixels.dtype == torch.uint8 and one.half.shape[1:] == (10, 15) for one in pictures_of_volumes(tmp_path)
    )
