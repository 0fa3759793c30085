"""Any header: voxels equal to those of an independent reader, or one sentence; little memory, little time."""

from __future__ import annotations

import logging
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import hostile_headers
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from nibabel.arrayproxy import ArrayProxy
from PIL import Image
from pydicom.pixels import apply_modality_lut

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Array
from boltzformer.types import Volume

MEMORY, SECONDS = 64 << 20, 5.0
QUICK, MANY = 25, 2000


def by_itk(path: Path) -> Array | None:
    """What ITK reads, or nothing."""
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    except RuntimeError:
        return None


def by_nibabel(path: Path) -> Array | None:
    """What nibabel reads, the slowest axis first; ITK reads chance from very small packed files."""
    try:
        image = nibabel.load(path)
        if image.dataobj.offset == 0:  # left zero: behind the header, but nibabel takes the header itself for voxels
            told = image.dataobj
            spec = (told.shape, told.dtype, 352, told.slope, told.inter)
            return np.asarray(ArrayProxy(told.file_like, spec)).T
        return np.asarray(image.dataobj).T
    except Exception:  # it raises many kinds on damaged files
        return None


def by_pillow(path: Path) -> Array | None:
    """The first page as Pillow sees it, where it knows the kind of numbers; turned by its tag."""
    try:
        with Image.open(path) as image:
            turn = image.tag_v2.get(274, 1)
            if turn in (5, 6, 7, 8) or image.mode not in ("L", "RGB", "I;16", "F"):
                return None  # Pillow swaps the sizes of plain pages before it reads them
            if image.mode == "RGB" and image.tag_v2.get(258, (16,))[0] != 8:
                return None  # colours of 16 bits are cut to 8
            if image.tag_v2.get(258) == (8,) and image.tag_v2.get(339, (1,)) != (1,):
                return None  # signed bytes become unsigned ones there
            white = image.mode == "I;16" and image.tag_v2.get(262) == 0
            array = np.asarray(image)
            return 65535 - array if white else array
    except Exception:  # it raises many kinds on damaged files
        return None


def by_pydicom(path: Path) -> Array | None:
    """Stored values, rescaled; more is brighter."""
    try:
        one = pydicom.dcmread(path)
        array = one.pixel_array
        bits = one.BitsStored
        if one.SamplesPerPixel == 3:
            return array if one.HighBit == bits - 1 else by_bits(one)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if one.PixelRepresentation else (0, (1 << bits) - 1)
        mask = (1 << bits) - 1
        if bits < one.BitsAllocated and one.HighBit == bits - 1:
            sign = 1 << bits - 1 if one.PixelRepresentation else 0
            array = ((array.astype(np.int64) & mask) ^ sign) - sign
        elif bits < one.BitsAllocated:
            return None
        if float(one.get("RescaleSlope", 1)) == 0 or ("RescaleSlope" in one) != ("RescaleIntercept" in one):
            return None
        seen = np.asarray(apply_modality_lut(array, one), np.float64)
        slope, intercept = float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))
        ends = [value * slope + intercept for value in (low, high)]
        return sum(ends) - seen if one.PhotometricInterpretation == "MONOCHROME1" else seen
    except Exception:  # it raises many kinds on damaged files
        return None


def by_bits(one: pydicom.Dataset) -> Array | None:
    """Colours counted from the bytes: pydicom takes the lowest bits, wherever the header says that they lie."""
    size = one.Rows * one.Columns * 3
    if one.file_meta.TransferSyntaxUID.is_compressed or one.PlanarConfiguration or "NumberOfFrames" in one:
        return None
    numbers = np.frombuffer(one.PixelData, f"<u{one.BitsAllocated // 8}")[:size]
    return (numbers >> (one.HighBit + 1 - one.BitsStored)) & ((1 << one.BitsStored) - 1)


def voxels(volume: Volume) -> list[float]:
    return sorted(float(value) for value in volume.array.ravel())


def demand_same(volume: Volume, other: Array, frame: int | None) -> None:
    """The same numbers in the same order; the other reader may hold all frames."""
    ours = volume.array
    if other.size != ours.size:
        other = other.reshape(-1, *ours.shape)[(frame or 1) - 1] if other.size % ours.size == 0 else other
    if other.size == ours.size:
        np.testing.assert_allclose(ours.reshape(-1), other.reshape(-1).astype(np.float64), rtol=1e-5)


def refuses_or_reads(path: Path, content: bytes, independent: Callable[[Path], Array | None]) -> None:
    path.write_bytes(content)
    tracemalloc.start()
    began, frame, volume = time.perf_counter(), None, None
    try:
        with warnings.catch_warnings(action="ignore"):
            for frame in (None, 1):
                try:
                    volume = io.read(path, frame=frame)
                    break
                except BoltzFormerError as error:
                    said = str(error)
                    assert said.startswith(str(path))
                    assert said.endswith(".")
                    assert "\n" not in said
                    if "choose it with --frame" not in said:
                        break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 2 * len(content) + MEMORY
    assert time.perf_counter() - began <= SECONDS
    if volume is not None:
        with warnings.catch_warnings(action="ignore"):
            other = independent(path)
        if other is not None:
            demand_same(volume, other, frame)


FORMATS = {
    "nrrd": (hostile_headers.nrrd(), "a.nrrd", by_itk),
    "metaimage": (hostile_headers.metaimage(), "a.mha", by_itk),
    "nifti": (hostile_headers.nifti(), "a.nii", by_nibabel),
    "tiff": (hostile_headers.tiff(), "a.tif", by_pillow),
    "dicom": (hostile_headers.dicom(), "a.dcm", by_pydicom),
}


def fuzz(folder: Path, kind: str, cases: int) -> None:
    strategy, name, independent = FORMATS[kind]
    for talker in ("pydicom", "tifffile", "PIL"):
        logging.getLogger(talker).setLevel(logging.CRITICAL)

    how = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=cases, **how)
    @given(strategy)
    def one(content: bytes) -> None:
        if kind == "nifti" and content[:2] == b"\x1f\x8b":
            refuses_or_reads(folder / "a.nii.gz", content, independent)
        else:
            refuses_or_reads(folder / name, content, independent)

    one()


@pytest.mark.parametrize("kind", FORMATS)
def test_some_hostile_headers_are_read_truly_or_refused(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture
) -> None:
    fuzz(tmp_path, kind, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_many_hostile_headers_are_read_truly_or_refused(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture
) -> None:
    fuzz(tmp_path, kind, MANY)
