"""Small image files for the tests, written by other programs' code (SimpleITK, pydicom) where that is possible."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from boltzformer.image.geometry import Array, Grid
from boltzformer.types import LabelMap, Volume

SPACINGS = {"isotropic": (1.0, 1.0, 1.0), "anisotropic": (0.7, 0.9, 3.3), "oblique": (0.7, 0.9, 3.3)}


def rotation(kind: str) -> NDArray[np.float64]:
    """The patient axes of a phantom; the oblique one is turned about all three."""
    if kind != "oblique":
        return np.eye(3)
    (a, b, c), turn = np.deg2rad([12.0, -7.0, 23.0]), np.eye(3)
    for axis, angle in enumerate((a, b, c)):
        one = np.eye(3)
        p, q = (axis + 1) % 3, (axis + 2) % 3
        one[p, p] = one[q, q] = np.cos(angle)
        one[p, q], one[q, p] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    return turn


ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
"""48 ways to store one volume: which patient axis i, j, k follow, and in which direction."""


def is_right_handed(order: tuple[int, ...], signs: tuple[int, ...]) -> bool:
    turn = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        turn[axis, column] = sign
    return bool(np.linalg.det(turn) > 0)


def stored(order: tuple[int, ...], signs: tuple[int, ...], kind: str, shape: tuple[int, int, int] = (5, 6, 7)) -> Grid:
    """The grid of a phantom stored in one of the 48 ways."""
    axes = rotation(kind)[:, list(order)] * signs * np.array(SPACINGS[kind])
    lps = np.eye(4)
    lps[:3, :3] = axes
    lps[:3, 3] = (-101.3, 47.25, -312.5)
    return Grid.from_lps(shape, lps)


def sheared(shape: tuple[int, int, int] = (5, 6, 7), tilt_degrees: float = 15.0) -> Grid:
    """A tilted gantry: the table moves along z, the slices lean."""
    t = np.deg2rad(tilt_degrees)
    lps = np.eye(4)
    lps[:3, 0] = (0.7, 0, 0)
    lps[:3, 1] = (0, 0.7 * np.cos(t), 0.7 * np.sin(t))
    lps[:3, 2] = (0, 0, 2.5)
    lps[:3, 3] = (-50, -60, 100)
    return Grid.from_lps(shape, lps)


def phantom(shape: tuple[int, ...], dtype: Any = np.int16) -> Array:
    """Different values everywhere, so that no flip or transpose goes unseen."""
    values = np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape)
    return (values % 251 if np.dtype(dtype).itemsize == 1 else values - 20).astype(dtype)


def corners(grid: Grid) -> NDArray[np.float64]:
    """World position of the eight corners."""
    z, y, x = grid.shape
    return grid.world(list(product((0, x - 1), (0, y - 1), (0, z - 1))))


def demand_same_place(found: Grid, expected: Grid) -> None:
    """Every corner within 1e-4 mm, and within 1e-6 of its distance beyond a metre."""
    assert found.shape == expected.shape
    allowed = np.maximum(1e-4, 1e-6 * np.linalg.norm(corners(expected), axis=1))
    assert (np.linalg.norm(corners(found) - corners(expected), axis=1) <= allowed).all()


def itk_image(array: Array, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection(grid.direction.ravel())
    image.SetOrigin(grid.origin)
    return image


def itk_grid(image: sitk.Image) -> Grid:
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    lps[:3, 3] = image.GetOrigin()
    return Grid.from_lps(image.GetSize()[::-1], lps)


def write_series(folder: Path, array: Array, grid: Grid, **tags: Any) -> list[Path]:
    """A DICOM series, one file per k, with names that say nothing about the order. Tags override; callables get k."""
    folder.mkdir(parents=True, exist_ok=True)
    series, study, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    names = np.random.default_rng(1).permutation(len(array))
    paths = []
    for k, page in enumerate(array):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        header = Dataset()
        header.file_meta = meta
        header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID = frame_of_reference
        header.Modality, header.SeriesDescription, header.SeriesNumber = "CT", "phantom", 3
        header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "SECRET-42", "19700101"
        header.PatientSex, header.StudyID, header.AccessionNumber = "F", "1", "1"
        header.StudyDate, header.StudyTime, header.ReferringPhysicianName = "20200101", "120000", ""
        header.PositionReferenceIndicator = header.Manufacturer = ""
        header.InstanceNumber = k + 1
        header.Rows, header.Columns = page.shape[:2]
        header.SamplesPerPixel = 3 if page.ndim == 3 else 1
        header.PhotometricInterpretation = "RGB" if page.ndim == 3 else "MONOCHROME2"
        if page.ndim == 3:
            header.PlanarConfiguration = 0
        header.BitsAllocated = header.BitsStored = page.dtype.itemsize * 8
        header.HighBit = header.BitsStored - 1
        header.PixelRepresentation = int(page.dtype.kind == "i")
        step = np.array(grid.axes)
        header.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[0])]
        header.SliceThickness = _decimal(grid.spacing_mm[2])
        header.ImageOrientationPatient = [_decimal(v) for v in grid.direction[:, :2].T.ravel()]
        header.ImagePositionPatient = [_decimal(v) for v in np.array(grid.origin) + k * step[:, 2]]
        header.PixelData = np.ascontiguousarray(page).tobytes()
        for name, value in tags.items():
            given = value(k) if callable(value) else value
            if given is None:
                delattr(header, name)
            else:
                setattr(header, name, given)
        paths.append(folder / f"IM{names[k]:04d}.dcm")
        header.save_as(paths[-1], enforce_file_format=True)
    return paths


def _decimal(value: float) -> str:
    """As precise as the 16 characters of a DICOM decimal allow."""
    return next(text for digits in range(15, 5, -1) if len(text := f"{value:.{digits}g}") <= 16)


def two_labels(volume: Volume) -> LabelMap:
    """Two boxes that overlap."""
    layers = np.zeros((2, *volume.grid.shape), np.uint8)
    layers[0, 1:3, 2:4, 1:5] = 1
    layers[1, 2:4, 2:5, 3:6] = 2
    return LabelMap(layers, volume.grid, {1: "left kidney", 2: "lung nodule in chest CT"})
