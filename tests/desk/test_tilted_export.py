"""DICOM-SEG of a tilted series from a viewer: written as it lies, and straightened where somebody presses for it."""

from pathlib import Path

import highdicom
import numpy as np
from bench import Bench
from image_files import phantom, sheared, write_series

from boltzformer import io


def test_a_tilted_mask_is_straightened_by_a_press(bench: Bench, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom((9, 20, 10)), sheared((9, 20, 10)))
    image = bench.open_volume(io.read(tmp_path / "ct"))
    found = np.zeros((image.count, *image.plan.slice_shape), bool)
    found[3:6, 5:12, 3:7] = True
    bench.answered(image, "liver", found)
    path = tmp_path / "liver.dcm"
    bench.desk.exporting.write_to(path)
    bench.idle()
    assert bench.speaker.action == "Straighten"
    assert "keeps the tilt" in bench.speaker.sentence
    assert highdicom.seg.segread(path).get_volume_geometry(allow_missing_positions=True) is None
    bench.desk.notice.act()
    bench.idle()
    assert bench.speaker.sentence.startswith("Wrote ")
    assert bench.speaker.action == ""
    straight = io.straightened(image.volume.grid)
    assert highdicom.seg.segread(path).get_volume_geometry(allow_missing_positions=True) is not None
    assert io.read_labels(path, grid=straight).layers.any()
