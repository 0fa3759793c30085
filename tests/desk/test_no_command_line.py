"""In a viewer no sentence names an option of the command line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from bench import Bench
from image_files import phantom, write_series

from boltzformer import Grid, io
from boltzformer.desk.keeping.cases import Standing
from boltzformer.desk.no_command_line import for_viewers
from boltzformer.desk.notice import versions
from boltzformer.errors import BoltzFormerError
from boltzformer.io.checks import pick_frame

pytestmark = pytest.mark.without_engine
GRID = Grid.from_lps((8, 6, 7), np.eye(4))


def with_a_gap(folder: Path) -> None:
    write_series(folder, phantom(GRID.shape), GRID)[4].unlink()
    io.read(folder)


def of_several_series(folder: Path) -> None:
    for name in ("a", "b"):
        write_series(folder / name, phantom(GRID.shape), GRID)
    io.read(folder)


def of_pages_unlike(folder: Path) -> None:
    with tifffile.TiffWriter(folder / "a.tif") as file:
        for side in (20, 30):
            file.write(np.zeros((side, 20), np.uint8))
    io.read(folder / "a.tif")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (with_a_gap, " is missing: copy the series again."),
        (of_several_series, " holds 2 series: save the one that you want by itself. 1: "),
        (of_pages_unlike, "differ in size or kind: save the one that you want by itself. 1: "),
        (lambda folder: pick_frame(folder / "a.nii", 3, None), "at a time: save the one that you want by itself."),
    ],
)
def test_what_a_reader_advises(bench: Bench, tmp_path: Path, read: Callable[[Path], Any], said: str) -> None:
    bench.desk.work.do(lambda: read(tmp_path))
    bench.idle()
    assert said in bench.speaker.sentence
    with pytest.raises(BoltzFormerError) as caught:
        read(tmp_path)
    with pytest.raises(BoltzFormerError, match=re.escape(said)), for_viewers():
        read(tmp_path)
    assert "--" in str(caught.value)
    assert "--" not in bench.speaker.sentence + Standing(error=str(caught.value)).tip
    assert len(bench.desk.notice.details) > len(versions()) + 20  # and a report tells it in our own words
