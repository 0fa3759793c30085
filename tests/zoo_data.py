"""What the tests of the decoder zoo train on, and its recipes cut short."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from boltzformer.io.phantom import phantom

RECIPES = Path(__file__).parents[1] / "core/boltzformer/learn/recipes/zoo"
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def brief(folder: Path) -> Path:
    """All recipes, three small steps long."""
    folder.mkdir()
    for name in NAMES:
        text = (RECIPES / f"{name}.toml").read_text("utf-8")
        for long, short in (("steps = 600", "steps = 3"), ("batch = 8", "batch = 2"), ("side = 256", "side = 64")):
            assert long in text
            text = text.replace(long, short)
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def manifest(folder: Path) -> tuple[Path, Path]:
    """Slices of phantoms with their blobs; one patient is held back."""
    rows: list[dict[str, Any]] = []
    for patient in range(3):
        made = phantom(patient, (16, 72, 80))
        for label, kind in made.labels.names.items():
            index = int(made.labels.mask(label).sum((1, 2)).argmax())
            image, mask = made.volume.array[index], made.labels.mask(label)[index]
            name = f"{patient}-{label}"
            Image.fromarray((image / image.max() * 255).astype(np.uint8)).save(folder / f"{name}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}-mask.png")
            row = {"image": f"{name}.png", "mask": f"{name}-mask.png", "target": kind, "prompts": [kind]}
            rows.append({**row, "group_id": f"p{patient}", "modality": "CT", "commercial_use": "licence_allows"})
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "split.json").write_text(json.dumps({"validation_groups": ["p2"]}))
    return folder / "manifest.jsonl", folder / "split.json"
