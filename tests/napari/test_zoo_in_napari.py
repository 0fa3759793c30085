"""Every decoder of the zoo goes the whole way by its configuration alone: trained, evaluated, asked, seen in napari."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import DIST, click, done, rows_of, type_lines, until
from zoo_data import NAMES, brief, manifest

import boltzformer
from boltzformer import Session
from boltzformer.desk.looks.looks import samples
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.weights import checkpoint
from napari_boltzformer.widget import BoltzFormerDock


def trained(name: str, folder: Path) -> Path:
    """Through three steps, and evaluated."""
    data, split = manifest(folder)
    recipe, run = brief(folder / "recipes") / f"{name}.toml", folder / "run"
    ours = [sys.executable, "-m", "boltzformer"]
    where = ["--split", str(split), "--output", str(run)]
    subprocess.run([*ours, "train", str(recipe), "--data", str(data), *where], check=True)
    model = run / "model.safetensors"
    where = ["--split", str(split), "--part", "validation", "--output", str(run / "results")]
    subprocess.run([*ours, "evaluate", str(data), "--model", str(model), *where], check=True)
    assert (run / "results/metrics.json").is_file()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_decoder_goes_from_its_recipe_to_a_mask_in_napari(
    name: str, qtbot: Any, viewer: Any, small: Phantom, small_file: Path, tmp_path: Path
) -> None:
    model = trained(name, tmp_path)
    kind = checkpoint.read(model).config.decoder.kind
    assert kind == (name if name in ("sam", "sam2", "emcad") else "queries")

    index = small.lesions[0].centre[2]
    engine = boltzformer.load(model)
    (answer,) = boltzformer.segment(small.volume, BRIGHT, model=engine, slices=[index]).slices
    (again,) = boltzformer.segment(small.volume, [BRIGHT, "liver"], model=engine, slices=[index]).slices
    assert np.array_equal(answer.logits[0], again.logits[0])  # whatever is asked beside it
    assert samples(engine.trace(small.volume, BRIGHT, index)) == (name == "boltzmann")

    dock = BoltzFormerDock(viewer, Session.local(model))
    viewer.window.add_dock_widget(dock, name="Segment by text")
    viewer.open(str(small_file), plugin=DIST)
    dock.jump(index)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    (track,) = dock.tracks()
    assert list(track.scores) == [dock.row()]
    assert rows_of(track).shape[0] == 16
    click(qtbot, dock.looks)
    looks = dock.bottom.looks
    until(qtbot, lambda: looks.sheet.looks is not None)
    assert looks.headline.text().startswith("This model does not sample") == (name != "boltzmann")
    assert len(looks.sheet.looks.trace.layers) == {"sam": 3, "sam2": 3, "emcad": 4}.get(name, 9)
    dock.session.close()
