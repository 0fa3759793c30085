"""nnU-Net's layout: `imagesTr/CASE_0000.nii.gz`, `labelsTr/CASE.nii.gz`, `dataset.json`; regions and `ignore`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.dataset.accepted import Mask
from boltzformer.dataset.case import Case
from boltzformer.dataset.disk import as_json, new_folder, read_json
from boltzformer.dataset.identity import Split
from boltzformer.dataset.layouts.incoming import Incoming, complete, patient_in
from boltzformer.dataset.store import Dataset
from boltzformer.errors import DatasetError
from boltzformer.types import Annotation, LabelMap, SliceState

_IGNORE, _BACKGROUND = "ignore", "background"
_MOST = 255


def read_nnunet(folder: Path, *, channel: int = 0, pattern: str = "") -> Iterator[Incoming]:
    """Its training cases, and its test cases where they have labels: all slices count as reviewed for all labels."""
    about = read_json(folder / "dataset.json")
    labels, channels = _labels(folder, about), about.get("channel_names") or about.get("modality") or {}
    if channels and str(channel) not in channels:
        raise DatasetError(f"{folder} has no channel {channel}: choose one of {', '.join(sorted(channels))}.")
    modality = str(channels.get(str(channel), ""))
    found = 0
    parts: tuple[tuple[str, Split | None], ...] = (("Tr", None), ("Ts", "test"))
    for part, split in parts:
        for path in sorted((folder / f"labels{part}").glob("[!.]*")):
            stem, extension = io.split_name(path)
            image = folder / f"images{part}" / f"{stem}_{channel:04d}{extension}"
            if not image.is_file():  # the Decathlon's own form: one file without a channel's number
                image = folder / f"images{part}" / f"{stem}{extension}"
            if extension and image.is_file():
                found += 1
                make = partial(_annotation, image, path, labels, modality)
                yield Incoming(stem, make, patient_in(stem, pattern), split)
    if not found:
        raise DatasetError(
            f"{folder} has no case with both an image (imagesTr) and labels (labelsTr): check its names."
        )


def _labels(folder: Path, about: Mapping[str, Any]) -> dict[str, list[int]]:
    """Name → the values it consists of; the ignore label among them."""
    told = about.get("labels")
    try:
        if not isinstance(told, dict):
            raise TypeError
        if all(str(key).isdecimal() for key in told):  # version 1 and the Decathlon: value → name
            told = {name: int(value) for value, name in told.items()}
        found = {
            str(name): [int(v) for v in (value if isinstance(value, list) else [value])] for name, value in told.items()
        }
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{folder / 'dataset.json'} has no table of labels: add one, name by name.") from error
    return {name: values for name, values in found.items() if values != [0] and name != _BACKGROUND}


def _annotation(image: Path, path: Path, labels: Mapping[str, list[int]], modality: str) -> Annotation:
    read = io.read(image)
    volume = replace(read, modality=modality, name="")
    io.read_labels(path, grid=volume.grid)  # its checks; but to it, a file of 0 and 255 is one mask of value 1
    flat = io.read(path).array.astype(np.uint8)
    known = {value for values in labels.values() for value in values}
    strange = sorted(set(np.unique(flat).tolist()) - known - {0})
    if strange:
        raise DatasetError(f"{path} holds the value {strange[0]}, which dataset.json does not name: add its name.")
    ignored = np.isin(flat, labels[_IGNORE]) if _IGNORE in labels else None
    masks: dict[str, Mask] = {name: np.isin(flat, values) for name, values in labels.items() if name != _IGNORE}
    return complete(volume, masks, {}, ignored=ignored)


def write_nnunet(dataset: Dataset, target: Path) -> int:
    """Every case with its accepted slices, the others as `ignore`, into a new folder; number of cases.

    Where labels overlap, each combination gets a value and each label is a region of them. `splits_final.json` holds
    the frozen split of the patients for nnU-Net's folder of preprocessed data.
    """
    if target.exists():
        raise DatasetError(f"{target} exists already: choose a new folder for the export.")
    cases = [case for case in dataset.cases() if case.lessons]
    names = list(dict.fromkeys(name for case in cases for name in case.states))
    kinds = {(case.volume.array.ndim, case.volume.modality) for case in cases}
    if not names:
        raise DatasetError(f"{dataset.path} has no accepted slice: there is nothing to export.")
    if len({ndim for ndim, _ in kinds}) > 1:
        raise DatasetError(f"{dataset.path} holds gray and colour images: nnU-Net takes only one kind in a dataset.")
    values = _values(cases, names)
    target.parent.mkdir(parents=True, exist_ok=True)
    colour = next(iter(kinds))[0] == 4
    with new_folder(target.parent, target, private=False) as begun:
        for case in cases:
            part = "Ts" if case.split == "test" else "Tr"
            for sub in (f"images{part}", f"labels{part}"):
                (begun / sub).mkdir(exist_ok=True)
            volume = replace(case.volume, source="")
            for number in range(3 if colour else 1):
                array = volume.array[..., number] if colour else volume.array
                io.write_volume(
                    replace(volume, array=array), begun / f"images{part}" / f"{case.id}_{number:04d}.nii.gz"
                )
            labels = LabelMap(_flat(case, names, values)[np.newaxis], case.grid, {})
            io.write(labels, begun / f"labels{part}" / f"{case.id}.nii.gz")
        about = _about(names, values, sum(case.split != "test" for case in cases), kinds, colour)
        (begun / "dataset.json").write_bytes(as_json(about))
        fold = {
            side: [case.id for case in cases if case.split == split]
            for side, split in (("train", "train"), ("val", "validation"))
        }
        (begun / "splits_final.json").write_bytes(b"[" + as_json(fold) + b"]\n")
    return len(cases)


Values = dict[tuple[str, ...], int]
"""A combination of labels that lie upon each other → its value."""


def _values(cases: list[Case], names: list[str]) -> Values:
    """First what occurs alone or nowhere, in the labels' order, then the combinations."""
    occurring = dict.fromkeys(one for case in cases for one in _combined(case)[1])
    anywhere = {name for one in occurring for name in one}
    alone = [(name,) for name in names if (name,) in occurring or name not in anywhere]
    several = [one for one in occurring if len(one) > 1]
    if len(alone) + len(several) >= _MOST:
        raise DatasetError(f"There are {len(alone) + len(several)} combinations of labels: nnU-Net's files hold 254.")
    return {one: value for value, one in enumerate([*alone, *several], 1)}


def _combined(case: Case) -> tuple[Mask, list[tuple[str, ...]], NDArray[np.int64]]:
    """Where anything is; which combinations there are; and which of them is at each of these places."""
    labels = case.labels
    somewhere: Mask = np.asarray((labels.layers > 0).any(axis=0))
    columns, which = np.unique(labels.layers[:, somewhere], axis=1, return_inverse=True)
    named = [tuple(labels.names[value] for value in sorted(column.tolist()) if value) for column in columns.T]
    return somewhere, named, which.reshape(-1)


def _flat(case: Case, names: list[str], values: Values) -> NDArray[np.uint8]:
    """The case's label map; a slice of which somebody has not judged every label is ignored."""
    flat = np.zeros(case.grid.shape, np.uint8)
    somewhere, named, which = _combined(case)
    flat[somewhere] = np.array([values[one] for one in named], np.uint8)[which]
    planes = np.moveaxis(flat, case.axis, 0)
    for index in range(len(planes)):
        states = [case.states[name][index] if name in case.states else SliceState.UNSEEN for name in names]
        if SliceState.UNSEEN in states or SliceState.IGNORED in states:
            planes[index] = len(values) + 1
    return flat


def _about(
    names: list[str], values: Values, training: int, kinds: set[tuple[int, str]], colour: bool
) -> dict[str, Any]:
    modality = next(iter(kinds))[1] if len(kinds) == 1 else ""
    channels = {"0": "R", "1": "G", "2": "B"} if colour else {"0": modality or "image"}
    regions: dict[str, Any] = {name: [v for combination, v in values.items() if name in combination] for name in names}
    about: dict[str, Any] = {"channel_names": channels, "numTraining": training, "file_ending": ".nii.gz"}
    if all(len(one) == 1 for one in values):
        labels = {_BACKGROUND: 0, **{name: several[0] for name, several in regions.items()}}
    else:  # what encloses others is painted first
        names = sorted(names, key=lambda name: -len(regions[name]))
        labels = {_BACKGROUND: 0, **{name: regions[name] for name in names}}
        about["regions_class_order"] = [values.get((name,), regions[name][0]) for name in names]
    return {**about, "labels": {**labels, _IGNORE: len(values) + 1}}
