"""Real cells with the shipped model: mosaics of pictures find as many nuclei as their parts do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import boltzformer
from boltzformer import Grid, Volume
from boltzformer.masks.objects import pieces

SHARED = Path(__file__).parents[2] / "../shared/data/train"
pytestmark = pytest.mark.slow


def nuclei(model: boltzformer.Engine, array: Any, **how: Any) -> int:
    volume = Volume(array[None], Grid.pixels((1, *array.shape[:2])), modality="microscopy")
    found = boltzformer.segment(volume, "cell nucleus in microscopy", model=model, **how)
    return int(pieces(found.labels().layers[0, 0]).max(initial=0))


def test_mosaics_find_what_their_parts_find_within_two_per_cent() -> None:
    if not (SHARED / "manifest.jsonl").is_file():
        pytest.skip("the shared data are not here")
    model = boltzformer.load("default", device="cpu")
    side = model.about.config.image_size
    rows = [json.loads(line) for line in (SHARED / "manifest.jsonl").read_text("utf-8").splitlines()]
    several = [row for row in rows if row["target"] == "cell nucleus" and row["n_components"] > 40]
    named = sorted(row["image"] for row in several if row["source"].startswith("dsb"))
    arrays = (np.array(Image.open(SHARED / name)) for name in named)
    parts = [array[:side, :side] for array in arrays if min(array.shape[:2]) >= side - 1][:6]
    assert len(parts) == 6
    mosaics = [np.tile(part, (3, 3) + (1,) * (part.ndim - 2)) for part in parts]
    wanted = 9 * sum(nuclei(model, part) for part in parts)
    assert abs(sum(nuclei(model, mosaic) for mosaic in mosaics) - wanted) <= 0.02 * wanted
    assert nuclei(model, mosaics[0], tiles=False) < 0.7 * 9 * nuclei(model, parts[0])  # as it was
