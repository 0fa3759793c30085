"""Broken DICOM files and series: each is refused with one sentence that names it and the way out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from corpus import DAMAGED, Corpus, all_of, collected, cut, demand_refusal
from image_files import phantom, stored, write_series

from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Grid

GRID = stored((0, 1, 2), (1, 1, 1), "anisotropic")
CORPUS: Corpus = []
broken = collected(CORPUS)


@broken(ImageError, "can't be decoded: it is damaged, or packed in a way that we don't know.")
def dicom_slice_cut_in_its_pixels(folder: Path) -> Path:
    return cut(write_series(folder, phantom((1, 60, 70)), GRID)[0], 0.9)


@broken(ImageError, DAMAGED)
def dicom_slice_cut_in_its_header(folder: Path) -> Path:
    return cut(write_series(folder, phantom((1, 6, 7)), GRID)[0], 0.45)


@broken(ImageError, "is no DICOM image in spite of its name: rename it, or export it again.")
def text_named_dicom(folder: Path) -> Path:
    (folder / "a.dcm").write_text("no DICOM")
    return folder / "a.dcm"


@broken(ImageError, "holds 2 series: choose one with --series N. 1: CT 'phantom', 5 slices of 7×6")
def two_series(folder: Path) -> Path:
    write_series(folder / "a", phantom(GRID.shape), GRID)
    write_series(folder / "b", phantom(GRID.shape), GRID)
    return folder


@broken(GeometryError, ": slices 3 to 4 between")
def two_missing_slices(folder: Path) -> Path:
    grid = stored((0, 1, 2), (1, 1, 1), "oblique", (9, 6, 7))
    for path in write_series(folder, phantom(grid.shape), grid)[2:4]:
        path.unlink()
    return folder


def shifted(grid: Grid, slices: dict[int, float]) -> Callable[[int], list[float]]:
    """Positions where some slices lie beside their place along z."""
    return lambda k: [float(v) for v in grid.world((0, 0, k)) + np.array([0, 0, slices.get(k, 0)])]


@broken(GeometryError, ": the slices lie unevenly, 1.300 to 5.300 mm apart: use an evenly spaced reconstruction")
def uneven_slices(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, ImagePositionPatient=shifted(GRID, {2: -2.0}))
    return folder


@broken(GeometryError, "does not lie in the same direction as")
def slices_in_two_directions(folder: Path) -> Path:
    other = lambda k: ["1", "0", "0", "0", "0", "-1"] if k == 3 else ["1", "0", "0", "0", "1", "0"]  # noqa: E731
    write_series(folder, phantom(GRID.shape), GRID, ImageOrientationPatient=other)
    return folder


@broken(GeometryError, "has another size or pixel spacing than")
def slices_of_two_spacings(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, PixelSpacing=lambda k: ["1", "1"] if k == 3 else ["0.9", "0.7"])
    return folder


@broken(GeometryError, "mm beside the line of the other slices: keep one acquisition in the folder.")
def a_slice_beside_the_others(folder: Path) -> Path:
    place = lambda k: [float(v) for v in GRID.world((0, 0, k)) + np.array([30.0 * (k == 2), 0, 0])]  # noqa: E731
    write_series(folder, phantom(GRID.shape), GRID, ImagePositionPatient=place)
    return folder


@broken(GeometryError, "slices at one place (such as")
def one_place_with_two_slices(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, ImagePositionPatient=shifted(GRID, {2: 3.3}))
    return folder


@broken(GeometryError, "has a pixel spacing of zero: repair the header")
def dicom_of_zero_spacing(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, PixelSpacing=["0", "0.7"])
    return folder


@broken(GeometryError, "has an impossible direction (its rows and columns are not at right angles)")
def dicom_with_an_impossible_direction(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, ImageOrientationPatient=["1", "0", "0", "1", "0", "0"])
    return folder


@broken(ImageError, "has a damaged DICOM header: export it again.")
def dicom_with_an_empty_position(folder: Path) -> Path:
    write_series(folder, phantom(GRID.shape), GRID, PixelSpacing=["0.7"])
    return folder


@broken(ImageError, "is a DICOM file of the kind SR and holds no image: open the image series itself.")
def dicom_report(folder: Path) -> Path:
    return write_series(folder, phantom((1, 6, 7)), GRID, Modality="SR")[0]


@all_of(CORPUS)
def test_a_broken_series_is_refused_with_one_sentence(tmp_path: Path, capfd, maker, error, sentence) -> None:
    demand_refusal(tmp_path, capfd, maker, error, sentence)
