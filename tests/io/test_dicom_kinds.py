"""DICOM as radiologists have it: enhanced files, ultrasound, dose, tables of values and colours, damaged neighbours."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import changed, enhanced, item
from image_files import demand_same_place, phantom, stored, write_series
from pydicom.uid import (
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    EnhancedUSVolumeStorage,
    RTDoseStorage,
    UltrasoundImageStorage,
)

from boltzformer import io
from boltzformer.errors import GeometryError, ImageError
from boltzformer.image.geometry import Grid

GRID = stored((0, 1, 2), (1, 1, 1), "oblique")
PLAIN = stored((0, 1, 2), (1, 1, 1), "anisotropic")
FLAT = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}


def scaled(path: Path, slopes: list[float]) -> None:
    groups = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    for group, slope in zip(groups, slopes, strict=True):
        group.PixelValueTransformationSequence = [item(RescaleSlope=str(slope), RescaleIntercept="3", RescaleType="US")]
    changed(path, PerFrameFunctionalGroupsSequence=groups)


def test_an_enhanced_pet_has_its_own_scale_and_place_in_every_frame(tmp_path: Path) -> None:
    order, slopes = [3, 0, 4, 1, 2], [0.5, 1.25, 2, 3, 7]
    path = enhanced(tmp_path / "pet.dcm", phantom(GRID.shape, np.uint16), GRID, order, EnhancedPETImageStorage)
    scaled(path, slopes)
    volume = io.read(path)
    demand_same_place(volume.grid, GRID)
    for frame, k in enumerate(order):
        expected = phantom(GRID.shape, np.uint16)[k] * float(slopes[frame]) + 3
        np.testing.assert_allclose(volume.array[k], expected, rtol=1e-6)


def test_echoes_of_an_enhanced_mr_are_never_mixed(tmp_path: Path) -> None:
    echoes = np.concatenate([phantom(GRID.shape), phantom(GRID.shape) + 1000, phantom(GRID.shape) + 2000])
    order = [int(n) for n in np.random.default_rng(3).permutation(15)]
    path = enhanced(tmp_path / "mr.dcm", echoes, GRID, order, EnhancedMRImageStorage)
    header = pydicom.dcmread(path)
    pointers = ("InStackPositionNumber", "EffectiveEchoTime")
    dimensions = [item(DimensionIndexPointer=pydicom.datadict.tag_for_keyword(name)) for name in pointers]
    groups = header.PerFrameFunctionalGroupsSequence
    for group, n in zip(groups, order, strict=True):
        group.FrameContentSequence = [item(DimensionIndexValues=[n % 5 + 1, n // 5 + 1])]
    changed(path, PerFrameFunctionalGroupsSequence=groups, DimensionIndexSequence=dimensions)
    with pytest.raises(ImageError, match="holds 3 frames"):
        io.read(path)
    for echo in (1, 2, 3):
        np.testing.assert_array_equal(io.read(path, frame=echo).array, phantom(GRID.shape) + 1000 * (echo - 1))
    groups[0].FrameContentSequence[0].DimensionIndexValues = [order[0] % 5 + 1, 9]
    changed(path, PerFrameFunctionalGroupsSequence=groups)
    with pytest.raises(GeometryError, match=r"other frames .echoes, times or directions. at one place than at another"):
        io.read(path, frame=3)


def test_an_enhanced_ultrasound_volume_lies_in_its_own_space(tmp_path: Path) -> None:
    path = enhanced(tmp_path / "us.dcm", phantom(GRID.shape, np.uint8), GRID, [0, 1, 2, 3, 4], EnhancedUSVolumeStorage)
    header = pydicom.dcmread(path)
    groups, shared = header.PerFrameFunctionalGroupsSequence, header.SharedFunctionalGroupsSequence
    for group in groups:
        place = group.PlanePositionSequence[0].ImagePositionPatient
        del group.PlanePositionSequence
        group.PlanePositionVolumeSequence = [item(ImagePositionVolume=[float(v) for v in place])]
    turn = shared[0].PlaneOrientationSequence[0].ImageOrientationPatient
    del shared[0].PlaneOrientationSequence
    shared[0].PlaneOrientationVolumeSequence = [item(ImageOrientationVolume=[float(v) for v in turn])]
    changed(path, PerFrameFunctionalGroupsSequence=groups, SharedFunctionalGroupsSequence=shared, Modality="US")
    volume = io.read(path)
    np.testing.assert_array_equal(volume.array, phantom(GRID.shape, np.uint8))
    demand_same_place(volume.grid, GRID)


def region(delta: float, right: int, unit: int = 3) -> pydicom.Dataset:
    return item(
        PhysicalUnitsXDirection=unit,
        PhysicalUnitsYDirection=unit,
        PhysicalDeltaX=delta,
        PhysicalDeltaY=delta * 2,
        RegionLocationMinX0=0,
        RegionLocationMinY0=0,
        RegionLocationMaxX1=right,
        RegionLocationMaxY1=5,
    )


def test_ultrasound_regions_say_how_large_pixels_are(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, phantom((1, 6, 7), np.uint8), GRID, Modality="US", **FLAT)
    changed(path, UltrasoundImageStorage, SequenceOfUltrasoundRegions=[region(0.027, 6), region(5, 99, unit=4)])
    np.testing.assert_allclose(io.read(path).grid.spacing_mm[:2], (0.27, 0.54))
    changed(path, SequenceOfUltrasoundRegions=[region(0.027, 2), region(0.05, 4)])
    with pytest.warns(io.ImageWarning, match=r"shows regions of different scale: lengths hold for its largest \(0\.5"):
        np.testing.assert_allclose(io.read(path).grid.spacing_mm[:2], (0.5, 1))


def test_an_aspect_ratio_is_kept_where_nothing_says_how_large_pixels_are(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, phantom((1, 6, 7), np.uint8), GRID, Modality="OT", **FLAT)
    changed(path, PixelAspectRatio=["4", "2"])
    assert io.read(path).grid.spacing_mm[:2] == (1.0, 2.0)
    changed(path, PixelAspectRatio=None, NominalScannedPixelSpacing=["0.2", "0.1"])
    assert io.read(path).grid.spacing_mm[:2] == (0.1, 0.2)


@pytest.mark.parametrize("first", [0.0, -312.5])
def test_the_planes_of_a_dose_lie_apart_as_its_offsets_say(tmp_path: Path, first: float) -> None:
    dose = phantom(PLAIN.shape, np.uint16)
    (path,) = write_series(tmp_path, dose[:1], PLAIN, Modality="RTDOSE")
    offsets = [first + PLAIN.spacing_mm[2] * k for k in range(5)]
    changed(
        path, RTDoseStorage, NumberOfFrames=5, GridFrameOffsetVector=offsets, DoseGridScaling="0.001",
        PixelData=dose.tobytes(), FrameIncrementPointer=0x3004000C,
    )  # fmt: skip
    volume = io.read(path)
    np.testing.assert_allclose(volume.array, dose * 0.001, rtol=1e-6)
    demand_same_place(volume.grid, PLAIN)


def test_a_modality_table_turns_numbers_into_values(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(0, 4096, 300).astype(np.uint16)
    (path,) = write_series(tmp_path, phantom((1, 6, 7), np.uint16), GRID)
    stored_numbers = phantom((1, 6, 7), np.uint16).view(np.uint16)
    changed(path, ModalityLUTSequence=[item(LUTDescriptor=[300, 5, 16], ModalityLUTType="OD", LUTData=table.tobytes())])
    expected = table[np.clip(stored_numbers.astype(int) - 5, 0, 299)]
    np.testing.assert_array_equal(io.read(path).array, expected)
    changed(path, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(io.read(path).array, int(table.max()) + int(table.min()) - expected.astype(int))


def test_palette_colours_are_resolved(tmp_path: Path) -> None:
    tables = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    (path,) = write_series(tmp_path, phantom((1, 6, 7), np.uint8), GRID, Modality="US")
    names = dict(zip(("Red", "Green", "Blue"), tables, strict=True))
    header = pydicom.dcmread(path)
    for element in (0x00281101, 0x00281102, 0x00281103):
        header.add_new(element, "US", [256, 0, 16])
    header.save_as(path)
    values = {f"{name}PaletteColorLookupTableData": (one << 8).tobytes() for name, one in names.items()}
    changed(path, PhotometricInterpretation="PALETTE COLOR", **values)
    np.testing.assert_array_equal(io.read(path).array[0], np.moveaxis(tables[:, phantom((6, 7), np.uint8)], 0, -1))


def test_bits_of_an_old_overlay_are_no_values(tmp_path: Path) -> None:
    array = phantom((1, 6, 7), np.uint16) % 4096
    (path,) = write_series(tmp_path, array | 0xA000, GRID)
    changed(path, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(io.read(path).array, array)


def test_a_mosaic_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path, phantom((1, 6, 7)), GRID, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    with pytest.raises(ImageError, match="is a mosaic of slices in one picture"):
        io.read(tmp_path)


def test_reports_damage_and_files_without_pixels_never_hide_the_good_series(tmp_path: Path) -> None:
    write_series(tmp_path, phantom(GRID.shape), GRID)
    for name, kind in (("report", {"Modality": "SR"}), ("flat", {"PixelData": None}), ("cut", {}), ("bad", {})):
        (other,) = write_series(tmp_path / "x", phantom((1, 6, 7)), GRID, **kind)
        shutil.move(other, tmp_path / f"{name}.dcm")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(cut.read_bytes()[:-40])
    changed(tmp_path / "bad.dcm", PixelSpacing=["0.7"])
    said = r"4 files are left out because no image can be read from it: bad\.dcm \(damaged\), cut\.dcm \(damaged\), "
    for path in (tmp_path, next(tmp_path.glob("IM*"))):
        with pytest.warns(io.ImageWarning) as caught:
            np.testing.assert_array_equal(io.read(path).array, phantom(GRID.shape))
        assert len(caught) == 1
    with pytest.warns(io.ImageWarning, match=said + r"flat\.dcm \(CT\), report\.dcm \(SR\)\."):
        io.describe(tmp_path)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"NumberOfFrames": 2**31 - 1}, "has an impossible size in its header"),
        ({"NumberOfFrames": -3}, "has an impossible size in its header"),
        ({"NumberOfFrames": 5000}, "can't be decoded"),
        ({"Rows": 65535, "Columns": 65535}, "can't be decoded"),
        ({"BitsAllocated": 24}, "stores its numbers in an unusual way"),
        ({"SamplesPerPixel": 4}, "stores its numbers in an unusual way"),
        ({"HighBit": 16}, "stores its numbers in an unusual way"),
    ],
)
def test_sizes_that_can_not_be_are_refused_at_once(tmp_path: Path, values: dict, sentence: str) -> None:
    (path,) = write_series(tmp_path, phantom((1, 6, 7)), GRID)
    changed(path, **values)
    began = time.monotonic()
    for way in (path, tmp_path):
        with pytest.raises(ImageError, match=sentence):
            io.read(way)
    assert time.monotonic() - began < 5


def test_a_film_of_a_hundred_thousand_dots_is_listed_at_once(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, phantom((1, 1, 1), np.uint8), GRID, **FLAT)
    changed(path, NumberOfFrames=100_000, PixelData=bytes(100_000))
    began = time.process_time()
    with pytest.raises(ImageError, match="holds 100000 frames"):
        io.read(path)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("lying", [True, False])
def test_a_packed_picture_of_another_size_takes_no_memory(tmp_path: Path, lying: bool) -> None:
    (path,) = write_series(tmp_path, phantom((1, 64, 64), np.uint8), GRID)
    header = pydicom.dcmread(path)
    header.compress(pydicom.uid.JPEGLSLossless)
    header.save_as(path)
    raw = path.read_bytes()
    at = raw.index(b"\xff\xf7") + 5
    path.write_bytes(raw[:at] + b"\xff\xdc\xff\xdc" + raw[at + 4 :])
    if not lying:
        changed(path, Rows=65500, Columns=65500)
    program = (
        "import resource, sys\nfrom boltzformer import io\nfrom boltzformer.errors import ImageError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "try:\n    io.read(sys.argv[1])\nexcept ImageError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert ("another size than its header" if lying else "can't be decoded") in done.stdout


def test_a_film_of_mpeg_is_named(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, phantom((1, 6, 7), np.uint8), GRID)
    header = pydicom.dcmread(path)
    header.PixelData = pydicom.encaps.encapsulate([b"\0\0\0\x01" + bytes(60)])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    header.save_as(path)
    with pytest.raises(ImageError, match=r"is packed as a video \(MPEG\): export its frames as pictures"):
        io.read(path)


def test_slices_of_a_spect_volume_lie_one_after_the_other(tmp_path: Path) -> None:
    array = phantom(PLAIN.shape, np.uint16)
    (path,) = write_series(tmp_path, array[:1], PLAIN, Modality="NM")
    header = pydicom.dcmread(path)
    detector = item(
        ImagePositionPatient=header.ImagePositionPatient, ImageOrientationPatient=header.ImageOrientationPatient
    )
    changed(
        path, pydicom.uid.NuclearMedicineImageStorage, DetectorInformationSequence=[detector], NumberOfFrames=5,
        NumberOfSlices=5, SpacingBetweenSlices=str(PLAIN.spacing_mm[2]), PixelData=array.tobytes(),
        ImagePositionPatient=None, ImageOrientationPatient=None,
    )  # fmt: skip
    volume = io.read(path)
    np.testing.assert_array_equal(volume.array, array)
    demand_same_place(volume.grid, Grid(PLAIN.shape, PLAIN.axes, PLAIN.origin))


def test_before_the_work_it_is_known_what_masks_as_dicom_can_refer_to(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", phantom(GRID.shape), GRID)
    whole = enhanced(tmp_path / "whole.dcm", phantom(GRID.shape), GRID, [0, 1, 2, 3, 4])
    (xray,) = write_series(tmp_path / "dx", phantom((1, 6, 7)), GRID, Modality="DX", **FLAT)
    (lost,) = write_series(tmp_path / "lost", phantom((1, 6, 7)), GRID, FrameOfReferenceUID=None)
    assert io.can_be_dicom(io.read(tmp_path / "ct"))
    assert io.can_be_dicom(io.read(whole))
    for path in (xray, lost):
        volume = io.read(path)
        assert not io.can_be_dicom(volume)
        io.check_targets([tmp_path / "mask.seg.nrrd"], volume.grid, volume)
        with pytest.raises(ImageError, match=r"which does not say where in its patient it lies .* write \.nii\.gz or"):
            io.check_targets([tmp_path / "mask.dcm"], volume.grid, volume)
