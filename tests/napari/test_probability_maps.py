"""Probabilities beside the exported masks: the engine's own numbers, on the stored grid, said in the provenance."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import answer_file_dialog, answer_question, click, done, layer_of, new_track, type_lines, until
from storage_orders import stored

from boltzformer import BoltzFormerError, Volume, io
from boltzformer.io.phantom import BRIGHT, DARK, Phantom
from boltzformer.masks.postprocess import probabilities
from napari_boltzformer.host.layers import image_layer
from napari_boltzformer.widget import BoltzFormerDock


@pytest.mark.slow
def test_the_maps_are_the_engines_on_the_stored_grid(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    array, grid = stored(small.volume.array, small.volume.grid, (2, 0, 1), (True, False, True))
    volume = Volume(array, grid, name="sideways")
    data, options, _ = image_layer(volume)
    image = viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT, DARK)
    dock.jump(8)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    bright, _ = dock.tracks()
    layer_of(bright).paint((8, 3, 3), 1)  # an edit changes no probability
    click(qtbot, dock.maps)
    answer_file_dialog(tmp_path / "mask.nrrd")
    click(qtbot, dock.export)
    until(qtbot, lambda: dock.message.text().startswith("Wrote "))

    index = dock.current_slice()
    prediction = dock.session.segment(volume, [BRIGHT, DARK], slices=[index]).result()
    told = json.loads((tmp_path / "mask.provenance.json").read_text("utf-8"))
    for number, prompt in enumerate((BRIGHT, DARK)):
        file = tmp_path / f"mask.{prompt.replace(' ', '-')}.probability.nrrd"
        back = io.read(file)
        assert back.grid.same_as(grid)
        assert back.array.dtype == np.float32
        assert np.array_equal(back.array, probabilities(prediction, number))
        assert told["probability maps"][file.name]["prompt"] == prompt
        assert told["probability maps"][file.name]["slices"] == [index]
        assert str(file) in dock.message.text()
    assert told["masks"][BRIGHT]["slices edited, as shown"] == [8]

    for track in dock.tracks():
        viewer.layers.remove(layer_of(track))
    new_track(dock, image, BRIGHT)
    answer_file_dialog(tmp_path / "other.nrrd")
    click(qtbot, dock.export)
    assert dock.message.text().startswith("There are no probabilities to write")
    assert not (tmp_path / "other.nrrd").exists()


def test_a_map_that_is_there_already_is_not_replaced_unasked(
    qtbot: Any, viewer: Any, dock: BoltzFormerDock, small: Phantom, tmp_path: Path
) -> None:
    data, options, _ = image_layer(small.volume)
    viewer.add_image(data, **options)
    type_lines(qtbot, dock, BRIGHT)
    click(qtbot, dock.this_slice)
    done(qtbot, dock)
    click(qtbot, dock.maps)
    precious = tmp_path / "mask.bright-blob.probability.nii.gz"
    precious.write_bytes(b"somebody's")
    answer_file_dialog(tmp_path / "mask.nii.gz")
    click(qtbot, dock.export)
    assert precious.name in answer_question(qtbot, "Cancel")
    assert dock.message.text() == "Nothing was written: Export… again under another name."
    assert precious.read_bytes() == b"somebody's"
    assert not (tmp_path / "mask.nii.gz").exists()

    (tmp_path / "mask.nii.gz").write_bytes(b"an older one")  # whoever replaces this was not asked about the map
    with pytest.raises(BoltzFormerError, match="exists already"):
        dock.desk.exporting.to(tmp_path / "mask.nii.gz")
    assert precious.read_bytes() == b"somebody's"
    assert (tmp_path / "mask.nii.gz").read_bytes() == b"an older one"

    precious.unlink()
    for _ in range(2):  # the second time it replaces its own
        assert precious in dock.desk.exporting.to(tmp_path / "mask.nii.gz")
