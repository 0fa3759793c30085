"""What `boltzformer info FILE…` tells about an image: where it lies, what it shows, how it will be sliced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from boltzformer.geometry import PLANES, Grid
from boltzformer.intensity import Window
from boltzformer.io.checks import is_sheared
from boltzformer.io.dicom_headers import series_in
from boltzformer.io.reading import read
from boltzformer.types import Volume

_TOWARDS = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))


def describe(
    image: str | Path | Volume, *, series: int | str | None = None, frame: int | None = None, allow_gaps: bool = False
) -> dict[str, Any]:
    """Facts for `--json`; `in_words` makes sentences of them. A folder of several series is listed, not read."""
    if isinstance(image, Volume):
        return _facts(image)
    path = Path(image)
    listed: list[dict[str, Any]] = []
    if path.is_dir():
        found = series_in(path)
        listed = [
            {"number": place, "uid": one.uid, "slices": len(one.slices), "words": one.in_words}
            for place, one in enumerate(found, 1)
        ]
        if len(found) > 1 and series is None:
            return {"path": str(path), "series": listed}
    volume = read(path, series=series, frame=frame, allow_gaps=allow_gaps)
    return {"path": str(path), **({"series": listed} if listed else {}), **_facts(volume)}


def in_words(facts: dict[str, Any]) -> str:
    """The facts as lines for a person."""
    lines = [f"{facts['path']}"] if facts.get("path") else []
    if len(facts.get("series", ())) > 1:
        lines.append(f"{len(facts['series'])} series, choose one with --series N:")
        lines += [f"  {one['number']}: {one['words']}" for one in facts["series"]]
    if "shape" not in facts:
        return "\n".join(lines)
    x, y, z = facts["shape"][::-1]
    spacing = "×".join(f"{value:.4g}" for value in facts["spacing_mm"])
    extent = "×".join(f"{value:.4g}" for value in facts["extent_mm"])
    kind = (
        f"{facts['modality'] or 'image of unknown modality'}, {facts['dtype']}{', colour' if facts['colour'] else ''}"
    )
    lines += [
        f"{facts['name'] or 'unnamed'}: {kind}",
        f"size      {x}×{y}×{z} voxels of {spacing} mm, {extent} mm in all",
        f"axes      {', '.join(f'{axis} runs to {way}' for axis, way in zip('ijk', facts['runs_to'], strict=True))}"
        + (f"; turned by up to {facts['oblique_degrees']:.1f}°" if facts["oblique_degrees"] > 0.1 else "")
        + ("; sheared (tilted gantry)" if facts["sheared"] else ""),
        f"origin    {', '.join(f'{value:.2f}' for value in facts['origin_lps_mm'])} mm (left, posterior, superior)",
        f"slices    {facts['plane']}, {facts['slices']} along {facts['acquisition_axis']}",
        f"window    {facts['window']['low']:g} to {facts['window']['high']:g} ({facts['window']['kind']})",
    ]
    return "\n".join(lines)


def _facts(volume: Volume) -> dict[str, Any]:
    grid = volume.grid
    axis = grid.acquisition_axis if volume.stacked is None else volume.stacked
    window = Window.guess(volume.array)
    cosines = [abs(float(grid.direction[world, 2 - a])) for a, world in enumerate(grid.world_axes)]
    return {
        "name": volume.name,
        "modality": volume.modality,
        "dtype": str(volume.array.dtype),
        "colour": volume.array.ndim == 4,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "extent_mm": [n * s for n, s in zip(grid.shape[::-1], grid.spacing_mm, strict=True)],
        "origin_lps_mm": list(grid.origin),
        "direction_lps": grid.direction.tolist(),
        "affine_ras": grid.ras.tolist(),
        "runs_to": _runs_to(grid),
        "oblique_degrees": float(np.degrees(np.arccos(min(1.0, min(cosines))))),
        "sheared": is_sheared(grid),
        "acquisition_axis": "kji"[axis],
        "plane": PLANES[grid.world_axes[axis]],
        "slices": grid.shape[axis],
        "window": {"low": window.low, "high": window.high, "kind": window.kind},
    }


def _runs_to(grid: Grid) -> list[str]:
    """The side of the patient towards which i, j and k grow."""
    towards = []
    for array_axis in (2, 1, 0):
        world = grid.world_axes[array_axis]
        towards.append(_TOWARDS[world][0 if grid.direction[world, 2 - array_axis] > 0 else 1])
    return towards
