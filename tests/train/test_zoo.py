"""The decoder zoo: every recipe is there by name and differs in the decoder alone; the queue goes on where it was."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from zoo_data import NAMES, brief, manifest

from boltzformer.learn.recipe import read_recipe
from boltzformer.learn.training_run import configured

QUEUE = Path(__file__).parents[2] / "benchmarks/zoo.py"


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


@pytest.mark.slow
def test_the_queue_trains_evaluates_and_goes_on_where_it_was(tmp_path: Path) -> None:
    data, split = manifest(tmp_path)
    short, runs = brief(tmp_path / "recipes"), tmp_path / "runs"
    command = [sys.executable, str(QUEUE), str(data), str(split), str(runs), "--seeds", "0", "--recipes", str(short)]
    table = subprocess.check_output(command, text=True)
    assert all(f"| {name} | 1 |" in table for name in NAMES)
    before = (runs / "rows.jsonl").read_text("utf-8")
    assert json.loads(before.splitlines()[0])["name"] == "boltzmann"
    subprocess.check_output(command)
    assert (runs / "rows.jsonl").read_text("utf-8") == before  # nothing is done again
