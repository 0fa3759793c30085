"""The decoder zoo: every recipe of it is there by name, trains, is evaluated and answers, and the queue goes on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boltzformer.cli.cli import run
from boltzformer.io.phantom import phantom
from boltzformer.learn.recipe import read_recipe
from boltzformer.learn.training_run import configured
from boltzformer.weights import checkpoint

QUEUE = Path(__file__).parents[2] / "benchmarks/zoo.py"
RECIPES = Path(__file__).parents[2] / "core/boltzformer/learn/recipes/zoo"
NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def test_recipes_of_the_zoo_differ_in_nothing_but_the_decoder() -> None:
    assert NAMES == ["boltzmann", "emcad", "full", "masked", "sam", "sam2"]
    recipes = {name: read_recipe(f"zoo/{name}") for name in NAMES}
    shared = [{**recipe.to_dict(), "name": "", "config": {}} for recipe in recipes.values()]
    assert all(one == shared[0] for one in shared)
    models = {name: configured(recipe) for name, recipe in recipes.items()}
    decoders = {name: model.decoder for name, model in models.items()}
    assert all(replace(model, decoder=decoders["full"]) == models["full"] for model in models.values())
    widths = {(one.hidden, one.heads, one.in_channels, one.mask_channels, one.existence) for one in decoders.values()}
    assert len(widths) == 1
    assert decoders["boltzmann"].attention == "boltzmann"
    assert (decoders["masked"].attention, decoders["masked"].mask_threshold) == ("masked", 0.5)
    assert decoders["full"].attention == "full"
    assert {name for name, one in decoders.items() if one.kind != "queries"} == {"sam", "sam2", "emcad"}


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


@pytest.mark.slow
def test_every_decoder_trains_through_a_few_steps_is_evaluated_and_finds_its_way_into_the_table(tmp_path: Path) -> None:
    data, split = manifest(tmp_path)
    short, runs = tmp_path / "recipes", tmp_path / "runs"
    short.mkdir()
    for name in NAMES:
        text = (RECIPES / f"{name}.toml").read_text("utf-8")
        for long, brief in (("steps = 2000", "steps = 3"), ("batch = 8", "batch = 2"), ("side = 256", "side = 64")):
            text = text.replace(long, brief)
        (short / f"{name}.toml").write_text(text)
    command = [sys.executable, str(QUEUE), str(data), str(split), str(runs), "--seeds", "0", "--recipes", str(short)]
    table = subprocess.check_output(command, text=True)
    assert all(f"| {name} | 1 |" in table for name in NAMES)
    before = (runs / "rows.jsonl").read_text("utf-8")
    assert json.loads(before.splitlines()[0])["name"] == "boltzmann"
    subprocess.check_output(command)
    assert (runs / "rows.jsonl").read_text("utf-8") == before  # nothing is done again
    for name in NAMES:
        model, found = runs / f"{name}-0" / "model.safetensors", tmp_path / f"{name}.png"
        assert checkpoint.read(model).config.decoder.attention == name
        assert run(["segment", str(tmp_path / "2-1.png"), "-p", "blob", "--model", str(model), "-o", str(found)]) == 0
        assert found.is_file()
