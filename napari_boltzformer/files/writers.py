"""Writes Labels layers in every format that keeps the place of the image they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer

from boltzformer import GeometryError, Grid, LabelMap, io
from boltzformer.desk.keeping.stories import with_files, written_before
from napari_boltzformer.host.layers import KEY, own_grid
from napari_boltzformer.host.mask import MASK, NapariMask


def write_labels(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """napari asks: one file for these layers, each a label of its own."""
    made: dict[str, Any] = {}
    names: dict[int, str] = {}
    planes: list[np.ndarray] = []
    first: Grid | None = None
    source = None
    for data, options, _ in layers:
        grid, array, place = _stored(data, options)
        if first is not None and not grid.same_as(first):
            raise GeometryError(f"'{options['name']}' lies elsewhere than the other masks: save them one by one.")
        first, source = grid, place or source
        mask = options.get("metadata", {}).get(MASK)
        several = sorted(set(np.unique(array).tolist()) - {0}) if not isinstance(mask, NapariMask) else [1]
        for value in several:
            label = len(names) + 1
            names[label] = options["name"] if len(several) == 1 else f"{options['name']} {value}"
            planes.append(((array > 0) if isinstance(mask, NapariMask) else array == value) * np.uint8(label))
        if isinstance(mask, NapariMask):
            made[options["name"]] = mask.how_made()
    if first is None or not planes:
        raise GeometryError("There is nothing to save: the layers hold no label.")
    if len(names) > 255:
        raise GeometryError(f"There are {len(names)} labels, but a mask holds 255: save fewer layers at once.")
    labels = LabelMap(np.stack(planes), first, names)
    file = Path(path)
    told = with_files({"masks": made}, labels, file) if made else None
    # napari asked about the file itself
    written = io.write(labels, file, source=source, provenance=told, overwrite={file, *written_before(file)})
    return [str(one) for one in written]


def _stored(data: Any, options: dict[str, Any]) -> tuple[Grid, np.ndarray, str | None]:
    """The grid, the labels on it in its own order, and the file of the image."""
    array = np.asarray(data)
    facts = options.get("metadata", {}).get(KEY)
    if facts is not None:
        view = facts["grid"].canonical(facts["stacking_axis"])
        return facts["grid"], view.undo(array[None] if array.ndim == 2 else array), facts.get("source") or None
    layer = Layer.create(data, {key: options[key] for key in ("name", "scale", "translate", "affine")}, "labels")
    assert isinstance(layer, Labels)
    whole = array[None] if array.ndim == 2 else array
    return own_grid(layer, whole.shape), whole, None
