"""The pixels of DICOM files, decoded by SimpleITK's GDCM: several files at a time, whole numbers kept whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from boltzformer.errors import ImageError
from boltzformer.image.geometry import Array
from boltzformer.io.dicom_headers import Slice


def read_pixels(slices: Sequence[Slice | None]) -> Array:
    """Every file is decoded once, several at a time; whole numbers stay whole in the narrowest type that holds them."""
    misread = next((one for one in slices if one is not None and one.misread), None)
    if misread:
        raise ImageError(
            f"{misread.path} stores its numbers in a way that the decoder (GDCM) gets wrong: "
            "export the series uncompressed in little endian."
        )
    wanted: dict[Path, list[tuple[int, Slice]]] = {}
    for k, one in enumerate(slices):
        if one is not None:
            wanted.setdefault(one.path, []).append((k, one))
    (first, places), *others = wanted.items()
    silence = _silence if any(one is not None and one.packed for one in slices) else nullcontext
    with silence():
        pages = _decode(first, places[0][1])
    array: Array = np.zeros((len(slices), *pages.shape[1:]), _narrow(pages))

    def place(path: Path, places: list[tuple[int, Slice]], pages: Array | None = None) -> tuple[Path, Array] | None:
        """Put a file's pages where they belong, unless they need a wider type."""
        pages = _decode(path, places[0][1]) if pages is None else pages
        if np.result_type(array, _narrow(pages)) != array.dtype:
            return path, pages
        for k, one in places:
            array[k] = pages[one.frame]
        return None

    place(first, places, pages)
    with silence(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        wider = [left for left in pool.map(lambda item: place(*item), others) if left is not None]
    for path, pages in wider:
        array = array.astype(np.result_type(array, _narrow(pages)), copy=False)
        for k, one in wanted[path]:
            array[k] = pages[one.frame]
    missing = [k for k, one in enumerate(slices) if one is None]
    if missing:  # a missing slice shows nothing: the darkest value, such as air
        array[missing] = min(array[k].min() for k, one in enumerate(slices) if one is not None)
    return array


@contextmanager
def _silence() -> Iterator[None]:
    """Codecs inside GDCM write to the terminal themselves, even when all is well (12-bit JPEG)."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no terminal, no noise
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _narrow(pages: Array) -> np.dtype[np.generic]:
    """ITK widens rescaled numbers to whatever the header's bits could hold; nearly all CT fits 16 bit."""
    if pages.dtype.kind == "f":
        return np.dtype(np.float32)
    if pages.dtype.itemsize > 2 and pages.min() >= -32768 and pages.max() <= 32767:
        return np.dtype(np.int16)
    return pages.dtype


def _decode(path: Path, header: Slice) -> Array:
    """(frames, rows, columns) or (frames, rows, columns, 3), rescaled; MONOCHROME1 turned so that more is brighter."""
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        pages: Array = SimpleITK.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise ImageError(
            f"{path} can't be decoded: it is damaged, or packed in a way that we don't know. "
            "Copy it again, or export the series uncompressed."
        ) from error
    if pages.shape[1:3] != header.size:
        raise ImageError(f"{path} holds a picture of another size than its header says: export it again.")
    return pages
