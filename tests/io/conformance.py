"""The test files of other packages, each read here and by that package's own reader; the table of docs/formats.md.

Run it to write the table anew: `python tests/io/conformance.py`.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.image.geometry import Array
from boltzformer.types import Volume

PACKAGES = {
    "pillow": "pillow==13.0.0",
    "pydicom": "pydicom==3.0.2",
    "pydicom-data": "pydicom-data==1.0.0",
    "nibabel": "nibabel==5.4.2",
    "tifffile": "tifffile==2026.3.3",
    "pynrrd": "pynrrd==1.1.3",
    "highdicom": "highdicom==0.28.2",
}
TABLE = Path(__file__).parents[2] / "docs" / "formats.md"
_CODE = (
    *(".py", ".pyx", ".pyc", ".pyi", ".c", ".h", ".rst", ".md", ".txt", ".json", ".toml", ".cfg", ".in"),
    *(".yml", ".yaml", ".sh", ".m", ".html", ".license", ".ipynb", ".typed", ".icns.license"),
)
REASONS = {
    "eCT_Supplemental.dcm": "right: pydicom leaves out the rescale of enhanced files",
    "8bit.s.tif": "right: Pillow shows signed bytes as unsigned ones",
    "tiff_16bit_RGBa.tiff": "right: Pillow cuts 16 bits to 8 before it divides by the transparency",
    "tiff_strip_planar_16bit_RGBa.tiff": "right: Pillow cuts 16 bits to 8 before it divides by the transparency",
    "tiff_tiled_planar_16bit_RGBa.tiff": "right: Pillow cuts 16 bits to 8 before it divides by the transparency",
}
"""Files that the other reader sees otherwise, looked at one by one."""
WORDS = {
    "right": "the same numbers as the package's own reader",
    "alone": "read here; the package's own reader can't (no codec, or refused there)",
    "refused": "refused with one sentence",
    "listed": "read otherwise than the package does, for the reason below",
    "wrong": "read otherwise, nobody knows why",
    "traceback": "a traceback",
}


@dataclass(frozen=True)
class Row:
    """One file."""

    package: str
    name: str
    outcome: str
    said: str = ""


class NoRegistry(Exception):
    """The files can't be had here."""


def folder_of(package: str) -> Path:
    """The unpacked source distribution, kept in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boltzformer-conformance"
    wanted = PACKAGES[package]
    place = cache / wanted.replace("==", "-")
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        how = [sys.executable, "-m", "pip", "download", "--quiet", "--no-binary", ":all:", "--no-deps", "--dest", work]
        done = subprocess.run([*how, wanted], capture_output=True, text=True, timeout=900, check=False)
        archives = list(Path(work).glob("*.tar.gz"))
        if done.returncode or not archives:
            raise NoRegistry(f"{wanted} can't be downloaded: {done.stderr.strip()[-200:]}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(Path(work) / "files", filter="data")
        os.replace(Path(work) / "files", place)
    return place


def files_of(package: str) -> list[Path]:
    """Everything that could be an image, each name once."""
    if package == "pydicom":
        import pydicom.data

        below = Path(pydicom.data.__file__).parent
    else:
        below = folder_of(package)
    named = {path for path in below.rglob("*") if path.is_file() and "docs" not in path.parts}
    return sorted(path for path in named if path.suffix.lower() not in _CODE and (path.suffix or "dicom" in package))


def rows(package: str) -> Iterator[Row]:
    """Each file, read in a folder of its own so that no neighbour joins in."""
    for path in files_of(package):
        with tempfile.TemporaryDirectory() as work:
            alone = Path(shutil.copy(path, work))
            yield _judged(package, alone)


def _judged(package: str, path: Path) -> Row:
    frame, series = None, None
    try:
        with warnings.catch_warnings(action="ignore"):
            for _ in range(3):
                try:
                    volume = io.read(path, frame=frame, series=series)
                    break
                except BoltzFormerError as error:
                    if "choose it with --frame" in str(error):
                        frame = 1
                    elif "choose one with --series" in str(error):
                        series = 1
                    else:
                        return Row(package, path.name, "refused", _without(path, str(error)))
            other = _other(package, path, (frame or 1) - 1)
    except Exception as error:
        return Row(package, path.name, "traceback", repr(error)[:100])
    if other is None:
        return Row(package, path.name, "alone")
    if _same(volume, other):
        return Row(package, path.name, "right")
    reason = REASONS.get(path.name)
    return Row(package, path.name, "listed" if reason else "wrong", reason or "")


def _without(path: Path, said: str) -> str:
    """The sentence without names and numbers, so that like ones count together."""
    return said.replace(str(path), "…").replace(str(path.parent), "…")


def _other(package: str, path: Path, frame: int) -> Array | None:
    readers: dict[str, Callable[[Path, int], Any]] = {
        "pillow": _by_pillow,
        "pydicom": _by_pydicom,
        "pydicom-data": _by_pydicom,
        "highdicom": _by_pydicom,
        "nibabel": _by_nibabel,
    }
    try:
        found = readers[package](path, frame)
    except Exception:  # every package has its own ways to say no
        return None
    return None if found is None else np.asarray(found)


def _by_pillow(path: Path, frame: int) -> Array:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if image.format != "TIFF":
            image.seek(frame)
        if image.format == "TIFF" and image.n_frames > 1:
            return _pages(image)
        image.load()
        turned = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
        if turned.mode.startswith("I;16"):
            return np.asarray(turned).astype(np.uint16)
        if turned.mode in ("L", "I", "F", "RGB"):
            return np.asarray(turned)
        if turned.mode in ("1", "LA"):
            return np.asarray(turned.convert("L"))
        return np.asarray(turned.convert("RGB"))


def _pages(image: Any) -> Array:
    """The pages that are as large as the first, in black and white or colours."""
    from PIL import ImageSequence

    size = image.size
    pages = [np.asarray(page.convert("RGB")) for page in ImageSequence.Iterator(image) if page.size == size]
    colours = np.stack(pages)
    return colours if (colours != colours[..., :1]).any() else colours[..., 0]


def _by_pydicom(path: Path, frame: int) -> Array:
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    one = pydicom.dcmread(path, force=True)
    stored = one.pixel_array
    if one.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(stored, one)
        return colours >> 8 if colours.dtype.itemsize > 1 else colours
    if one.SamplesPerPixel > 1:
        return _frame(stored, one, frame)
    seen = apply_modality_lut(stored, one)
    seen = seen * float(one.DoseGridScaling) if "DoseGridScaling" in one else seen
    if one.PhotometricInterpretation == "MONOCHROME1":
        bits, signed = one.BitsStored, one.PixelRepresentation
        ends = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1])
        seen = apply_modality_lut(ends, one).sum() - seen.astype(np.float64)
    return _frame(seen, one, frame)


def _frame(array: Array, header: Any, frame: int) -> Array:
    """All frames if they make a volume, else the one that was asked for."""
    several = int(header.get("NumberOfFrames") or 1) > 1
    placed = "PerFrameFunctionalGroupsSequence" in header or "GridFrameOffsetVector" in header
    return array[frame] if several and not placed else array


def _by_nibabel(path: Path, frame: int) -> Array:
    import nibabel

    found = np.asarray(nibabel.load(path).dataobj)
    found = found[..., frame] if found.ndim == 4 else found
    return found.T


def _same(volume: Volume, other: Array) -> bool:
    """The same numbers; other readers scale 2 and 4 bits to 8 and cut colours of 16 to 8."""
    ours = volume.array.astype(np.float64)
    theirs = other.astype(np.float64)
    if ours.ndim == 3 and theirs.ndim == 3 and theirs.shape == (*ours.shape[1:], 3):
        theirs = theirs[..., 0]
    if ours.size != theirs.size:
        placed = theirs.reshape(-1, *ours.shape[1:]) if theirs.size % ours[0].size == 0 else None
        return placed is not None and len(ours) == 1 and any(np.allclose(ours[0], one) for one in placed)
    ours, theirs = ours.reshape(len(ours), -1), theirs.reshape(len(ours), -1)
    factors = (1, 85, 17)  # numbers of 2 and 4 bits
    if any(np.allclose(ours * factor, theirs, rtol=1e-5) for factor in factors):
        return True
    if volume.array.ndim == 4 and volume.array.dtype == np.uint16 and np.array_equal(ours // 256, theirs):
        return True
    return sorted(map(float, ours.sum(axis=1))) == sorted(map(float, theirs.sum(axis=1)))  # frames sorted by place


def as_table(found: list[Row]) -> str:
    """docs/formats.md below its introduction."""
    lines = ["| package | files | right | read here alone | refused | listed |", "|---|---|---|---|---|---|"]
    for package in PACKAGES:
        count = Counter(row.outcome for row in found if row.package == package)
        numbers = [count[name] for name in ("right", "alone", "refused", "listed")]
        lines.append(f"| {PACKAGES[package]} | {sum(count.values())} | {' | '.join(map(str, numbers))} |")
    lines += ["", "Read otherwise than the package does, for a reason:", ""]
    lines += [f"- `{row.name}` ({row.package}): {row.said}." for row in found if row.outcome == "listed"] or ["- none"]
    lines += ["", "What refused files are told, and how many of them:", ""]
    told: dict[str, list[Row]] = {}
    for row in found:
        if row.outcome == "refused":
            told.setdefault(row.said, []).append(row)
    for sentence, several in sorted(told.items(), key=lambda one: -len(one[1])):
        names = ", ".join(f"`{row.name}`" for row in several[:3]) + (", …" if len(several) > 3 else "")
        lines.append(f"- {len(several)}× “{sentence}” ({names})")
    return "\n".join(lines) + "\n"


INTRODUCTION = """# Formats: what is read, and held against other readers

Read: NIfTI-1 and -2 (`.nii`, `.nii.gz`), NRRD (`.nrrd`, `.nhdr`, `.seg.nrrd`), MetaImage (`.mha`, `.mhd`), PNG, JPEG,
TIFF (also OME and ImageJ), and DICOM (classic, enhanced multi-frame, ultrasound, dose, SPECT; masks as DICOM-SEG).
Everything else is refused with one sentence that says what the file is and what to do.

Written, masks on the image's own voxels: NIfTI, NRRD, `.seg.nrrd`, MetaImage (`.mha`), DICOM-SEG and contours, PNG (one
mask of a picture, white on black), and TIFF (`.tif`): a number per mask or object in 8, 16 or 32 bits, a page per
slice, with the size of a voxel in ImageJ's words, as ImageJ opens it, and QuPath and Fiji through Bio-Formats. A TIFF
can't say where in a patient it lies; what its numbers are called is told by the `.provenance.json` beside it.

`make test-slow` downloads the test files that other packages ship, reads each and compares it with the package's own
reader. “Read here alone” means that the package itself can't read the file where this table was made. tifffile, pynrrd
and highdicom ship no image files in their source distributions.

"""


def main() -> None:
    """Write the table."""
    quiet()
    found = [row for package in PACKAGES for row in rows(package)]
    for row in found:
        if row.outcome in ("wrong", "traceback"):
            logging.getLogger(__name__).error("%s %s: %s %s", row.package, row.name, row.outcome, row.said)
    TABLE.write_text(INTRODUCTION + as_table(found), "utf-8")


def quiet() -> None:
    """Other packages complain about the files that they ship."""
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for talker in ("pydicom", "tifffile", "PIL", "nibabel"):
        logging.getLogger(talker).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    main()
