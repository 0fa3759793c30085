"""How fast images are read and masks written, against plain SimpleITK in the same run. `python benchmarks/io.py`"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "io"))
from image_files import itk_image, stored, write_series

from boltzformer import io
from boltzformer.types import LabelMap, Volume

SLICES, SIDE, REPEATS = 600, 512, 3


def plain_series(folder: Path) -> np.ndarray:
    """What a script does with SimpleITK alone."""
    reader = sitk.ImageSeriesReader()
    (uid,) = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid))
    return sitk.GetArrayFromImage(reader.Execute())


def plain(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def main() -> None:
    grid = stored((0, 1, 2), (1, 1, 1), "anisotropic", (SLICES, SIDE, SIDE))
    noise = np.random.default_rng(0).integers(0, 60, grid.shape, dtype=np.int16)
    k, j, i = np.ogrid[:SLICES, :SIDE, :SIDE]
    body = ((i - 256) ** 2 / 200**2 + (j - 256) ** 2 / 150**2 < 1) & (k >= 0)
    array = np.where(body, 1000 + noise, noise).astype(np.int16)
    megabytes = array.nbytes / 1e6
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(
            folder / "ct", array, grid, RescaleSlope="1", RescaleIntercept="-1024",
            BitsStored=12, HighBit=11, PixelRepresentation=0,
        )  # fmt: skip
        assert np.array_equal(io.read(folder / "ct").array, plain_series(folder / "ct"))
        report("DICOM series", megabytes, lambda: io.read(folder / "ct"), lambda: plain_series(folder / "ct"))
        volume = Volume(array, grid)
        for extension in (".nii", ".nii.gz", ".nrrd", ".mha"):
            path = folder / f"volume{extension}"
            io.write_volume(volume, path)
            report(f"read {extension}", megabytes, lambda path=path: io.read(path), lambda path=path: plain(path))
        labels = LabelMap(body.astype(np.uint8)[None], grid, {1: "body"})
        mask = itk_image(labels.layers[0], grid)
        for extension in (".nii.gz", ".seg.nrrd"):
            path = folder / f"mask{extension}"
            report(
                f"write mask {extension}",
                labels.layers.nbytes / 1e6,
                lambda path=path: io.write(labels, path, overwrite=True),
                lambda path=path: sitk.WriteImage(mask, str(path), True),
            )


def report(what: str, megabytes: float, ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    """By turns, so that both meet the same load and a warm disk cache; the middle of some runs."""
    seconds: dict[Callable[[], Any], list[float]] = {ours: [], theirs: []}
    for turn in range(REPEATS + 1):
        for action in (ours, theirs):
            start = time.perf_counter()
            action()
            if turn:
                seconds[action].append(time.perf_counter() - start)
    a, b = (megabytes / median(seconds[action]) for action in (ours, theirs))
    print(f"{what:20} {a:7.0f} MB/s   SimpleITK {b:7.0f} MB/s   ratio {a / b:.2f}", flush=True)


if __name__ == "__main__":
    main()
