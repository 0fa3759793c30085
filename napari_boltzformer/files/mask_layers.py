"""Files that are masks, as Labels layers: placed like the image they belong to, which stays the chosen one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from boltzformer import BoltzFormerError, GeometryError, LabelMap, Volume, io
from boltzformer.desk.keeping.stories import names_in
from boltzformer.io.cases import is_dicom
from napari_boltzformer.host.layers import KEY, image_layer

Facts = Mapping[str, Any]
"""What an image layer of ours knows of its file and its place."""
MANY = 24
"""So many labels get a layer each; more of them share one."""


def images_here(viewer: Any, first: Image | None = None) -> list[Facts]:
    """Of the images that are open, the chosen one first: masks may belong to them."""
    layers = [] if viewer is None else [layer for layer in viewer.layers if isinstance(layer, Image)]
    return [one.metadata[KEY] for one in ([first] if first is not None else []) + layers if KEY in one.metadata]


def as_masks(path: Path, images: Sequence[Facts]) -> list[tuple[Any, dict[str, Any], str]] | None:
    """Data, options and kind of its layers; None if the file is an image."""
    sure = path.is_file() and (path.name.lower().endswith(".seg.nrrd") or _is_segmentation(path))
    known = None if path.is_dir() else names_in(path)
    if known is None and not sure:
        return None
    try:
        labels, facts = _placed(path, images)
    except BoltzFormerError:
        if sure:
            raise
        return None  # a story lies beside it, but it holds no labels
    names = {**labels.names, **(known or {})}
    if not known and len(names) == 1 and not sure:
        names = dict.fromkeys(names, io.split_name(path)[0])
    marked = [label for label in sorted(names) if label in labels.names or (known and len(known) <= MANY)]
    if len(marked) <= MANY:
        planes = [(names[one], labels.mask(one) * np.uint8(one)) for one in marked]
    else:
        planes = [(io.split_name(path)[0], layer) for layer in labels.layers]
    return [_layer(name, plane, labels, facts) for name, plane in planes]


def _layer(name: str, plane: Any, labels: LabelMap, facts: Facts | None) -> tuple[Any, dict[str, Any], str]:
    grid, axis = (labels.grid, None) if facts is None else (facts["grid"], facts["stacking_axis"])
    data, options, _ = image_layer(Volume(plane, grid, name=name, stacking_axis=axis))
    del options["rgb"]
    if facts is not None:
        options["metadata"] = {KEY: dict(facts)}
    return data, options, "labels"


def _placed(path: Path, images: Sequence[Facts]) -> tuple[LabelMap, Facts | None]:
    """On the voxels of an image that is open, if it lies there; DICOM-SEG and pictures can't say alone where."""
    if io.split_name(path)[1] in (".dcm", ".ima", "", ".png", ".jpg", ".jpeg", ".tif", ".tiff"):
        for facts in images:
            try:
                return io.read_labels(path, grid=facts["grid"]), facts
            except GeometryError:
                continue
    labels = io.read_labels(path)
    return labels, next((facts for facts in images if labels.grid.same_as(facts["grid"])), None)


def _is_segmentation(path: Path) -> bool:
    """Whether it is a DICOM-SEG."""
    if not is_dicom(path):
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except Exception:  # its reader says what is wrong
        return False
    return str(header.get("Modality", "")) == "SEG"
