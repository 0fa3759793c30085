"""What `boltzformer info FILE…` tells about an image: where it lies, what it shows, how it will be sliced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.image.geometry import PLANES, Grid
from boltzformer.io.dicom_headers import series_in
from boltzformer.io.reading import read, read_labels
from boltzformer.types import LabelMap, Volume

_TOWARDS = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))


def describe(
    image: str | Path | Volume, *, series: int | str | None = None, frame: int | None = None, allow_gaps: bool = False
) -> dict[str, Any]:
    """Facts for `--json`; `in_words` makes sentences of them. A folder of several series is listed, not read."""
    if isinstance(image, Volume):
        return _facts(image)
    path = Path(image)
    if path.name.lower().endswith(".seg.nrrd"):
        return {"path": str(path), **_mask_facts(read_labels(path))}
    facts: dict[str, Any] = {"path": str(path)}
    if path.is_dir():
        found = series_in(path)
        facts["series"] = [
            {"number": place, "uid": one.uid, "slices": len(one.slices), "words": one.in_words}
            for place, one in enumerate(found, 1)
        ]
        if len(found) > 1 and series is None:
            return facts
    return {**facts, **_facts(read(path, series=series, frame=frame, allow_gaps=allow_gaps))}


def in_words(facts: dict[str, Any]) -> str:
    """The facts as lines for a person."""
    lines = [facts["path"]] if "path" in facts else []
    if len(facts.get("series", ())) > 1:
        lines.append(f"{len(facts['series'])} series, choose one with --series N:")
        lines += [f"  {one['number']}: {one['words']}" for one in facts["series"]]
    if "masks" in facts:
        lines.append(f"{len(facts['masks'])} masks on {facts['layers']} layers")
        lines += [f"  {one['label']}: {one['name']}, {one['voxels']} voxels" for one in facts["masks"]]
    if "modality" in facts:
        colour = ", colour" if facts["colour"] else ""
        lines.append(
            f"{facts['name'] or 'unnamed'}: {facts['modality'] or 'unknown modality'}, {facts['dtype']}{colour}"
        )
    if "shape" in facts:
        lines += _place_in_words(facts)
    if "window" in facts:
        lines.append(f"window    {facts['window']['low']:g} to {facts['window']['high']:g} ({facts['window']['kind']})")
    return "\n".join(lines)


def _place_in_words(facts: dict[str, Any]) -> list[str]:
    x, y, z = facts["shape"][::-1]
    spacing, extent = ("×".join(f"{value:.4g}" for value in facts[name]) for name in ("spacing_mm", "extent_mm"))
    axes = ", ".join(f"{axis} runs to {way}" for axis, way in zip("ijk", facts["runs_to"], strict=True))
    turned = f"; turned by up to {facts['oblique_degrees']:.1f}°" if facts["oblique_degrees"] > 0.1 else ""
    tilted = "; sheared (tilted gantry)" if facts["sheared"] else ""
    origin = ", ".join(f"{value:.2f}" for value in facts["origin_lps_mm"])
    return [
        f"size      {x}×{y}×{z} voxels of {spacing} mm, {extent} mm in all",
        f"axes      {axes}{turned}{tilted}",
        f"origin    {origin} mm (left, posterior, superior)",
        f"slices    {facts['plane']}, {facts['slices']} along {facts['acquisition_axis']}",
    ]


def _facts(volume: Volume) -> dict[str, Any]:
    window = volume.window()
    return {
        "name": volume.name,
        "modality": volume.modality,
        "dtype": str(volume.array.dtype),
        "colour": volume.array.ndim == 4,
        **_place(volume.grid, volume.slice_axis),
        "window": {"low": window.low, "high": window.high, "kind": window.kind},
    }


def _mask_facts(labels: LabelMap) -> dict[str, Any]:
    masks = [{"label": n, "name": text, "voxels": int(labels.mask(n).sum())} for n, text in labels.names.items()]
    return {"masks": masks, "layers": len(labels.layers), **_place(labels.grid, labels.grid.acquisition_axis)}


def _place(grid: Grid, axis: int) -> dict[str, Any]:
    cosines = [abs(float(grid.direction[world, 2 - a])) for a, world in enumerate(grid.world_axes)]
    return {
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "extent_mm": [n * s for n, s in zip(grid.shape[::-1], grid.spacing_mm, strict=True)],
        "origin_lps_mm": list(grid.origin),
        "direction_lps": grid.direction.tolist(),
        "affine_ras": grid.ras.tolist(),
        "runs_to": _runs_to(grid),
        "oblique_degrees": float(np.degrees(np.arccos(min(1.0, *cosines)))),
        "sheared": grid.sheared,
        "acquisition_axis": "kji"[axis],
        "plane": PLANES[grid.world_axes[axis]],
        "slices": grid.shape[axis],
    }


def _runs_to(grid: Grid) -> list[str]:
    """The side of the patient towards which i, j and k grow."""
    towards = []
    for array_axis in (2, 1, 0):
        world = grid.world_axes[array_axis]
        towards.append(_TOWARDS[world][0 if grid.direction[world, 2 - array_axis] > 0 else 1])
    return towards
