"""What the measurements on held-back images share: rows of a manifest as volumes, objects, and a place to record."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

import boltzformer
from boltzformer import Prediction, Volume, io
from boltzformer.engine.engine import Engine
from boltzformer.knowledge.manifest import Row, part_of, read_manifest, read_split
from boltzformer.masks.objects import pieces

Mask = NDArray[np.bool_]
RESULTS = Path(__file__).parent / "RESULTS.md"
SAME = 0.1
"""A true object is found where a claimed one has this intersection over union with it."""


@dataclass(frozen=True)
class Case:
    """One image and one target on it."""

    row: Row
    volume: Volume
    truth: Mask
    """(H, W)."""

    @property
    def prompt(self) -> str:
        """The usual phrasing."""
        return self.row.prompts[0]


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What both scripts are told."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("manifest", type=Path, help="manifest.jsonl")
    parser.add_argument("split", type=Path, help="split.json; its validation groups are measured")
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, help="so many rows, spread over the manifest")
    parser.add_argument("--record", action="store_true", help=f"append what comes out to {RESULTS.name}")
    return parser


def engine_of(told: argparse.Namespace) -> Engine:
    return boltzformer.load(told.model, device=told.device)


def rows_of(told: argparse.Namespace, largest_share: float = 1.0) -> list[Row]:
    """Held-back rows with a mask, of objects that are not centred by the way the image was cut."""
    rows = part_of(read_manifest(told.manifest), read_split(told.split), "validation")
    fit = [r for r in rows if r.mask and not r.centred and float(r.notes.get("area_fraction", 0)) <= largest_share]
    step = 1 if told.limit is None else max(1, len(fit) / told.limit)
    return [fit[int(n * step)] for n in range(int(len(fit) / step))]


def cases(rows: Sequence[Row]) -> Iterator[Case]:
    """Rows of an image follow each other in a manifest, so its features are found again."""
    for row in rows:
        assert row.mask is not None
        plane = io.read(row.mask).array[0]
        plane = plane if plane.ndim == 2 else plane.max(-1)
        truth = plane > (0 if plane.max() < 128 else 127)  # 0/1 or 0/255, perhaps blurred by a JPEG
        if truth.any():
            yield Case(row, io.read(row.image), truth)


def mask_of(prediction: Prediction) -> Mask:
    """(H, W): as a user gets it, gated."""
    return prediction.labels().layers[0, 0] > 0


def dice(mask: Mask, truth: Mask) -> float:
    return 2 * float((mask & truth).sum()) / max(1.0, float(mask.sum() + truth.sum()))


def objects(mask: Mask) -> list[Mask]:
    """The largest first."""
    found = pieces(mask)
    sizes = np.bincount(found.ravel())[1:]
    return [found == 1 + n for n in np.argsort(-sizes, kind="stable")]


def is_found(one: Mask, mask: Mask) -> bool:
    """Whether an object has one of its own in a mask."""
    labelled = pieces(mask)
    touching = [labelled == label for label in np.unique(labelled[one]) if label]
    return any((claimed & one).sum() >= SAME * (claimed | one).sum() for claimed in touching)


def click(one: Mask) -> tuple[float, float, float]:
    """Voxel i, j, k farthest inside an object: where a person would click."""
    inside = distance_transform_edt(np.pad(one, 1))[1:-1, 1:-1]
    j, i = np.unravel_index(int(inside.argmax()), one.shape)
    return float(i), float(j), 0.0


def share(hits: Sequence[bool]) -> str:
    """In per cent, with the count that it is of."""
    return f"{100 * np.mean(hits):.0f} % ({sum(hits)})" if hits else "–"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))


def told_and_kept(told: argparse.Namespace, title: str, engine: Engine, text: str) -> None:
    """Prints what came out, and appends it to the results only if asked to."""
    about = engine.about
    words = " ".join(Path(word).name if os.sep in word else word for word in told.given)  # no machine's own paths
    said = (
        f"\n## {title}\n`python benchmarks/{Path(told.script).name} {words}`, model "
        f"'{about.history.name}' ({about.sha256[:12]}), {engine.device}, {engine.precision}, load "
        f"{os.getloadavg()[0]:.1f}.\n\n{text}\n"
    )
    print(said)
    if told.record:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(said)
