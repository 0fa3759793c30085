"""The values of a DICOM stack: several files at a time, whole numbers kept whole, missing slices dark."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from boltzformer.image.geometry import Array
from boltzformer.io.dicom_frames import stored_frames, undecodable
from boltzformer.io.dicom_headers import discreet
from boltzformer.io.dicom_slices import Slice
from boltzformer.io.dicom_values import values_of
from boltzformer.io.stream import demand_memory


def read_pixels(slices: Sequence[Slice | None]) -> Array:
    """Every frame is unpacked once; whole numbers stay whole in the narrowest type that holds them."""
    wanted: dict[Path, dict[int, tuple[int, Slice]]] = {}
    for k, one in enumerate(slices):
        if one is not None:
            wanted.setdefault(one.path, {})[one.frame] = (k, one)
    (first, places), *others = wanted.items()
    with discreet():
        begun = _decoded(places)
        k, page = next(begun)
        demand_memory(first, len(slices) * page.nbytes)
        array: Array = np.zeros((len(slices), *page.shape), page.dtype)
        array[k] = page

        def place(pages: Iterator[tuple[int, Array]]) -> list[tuple[int, Array]]:
            """Put pages where they belong, unless they need a wider type: these are handed back."""
            wider = []
            for k, page in pages:
                if np.result_type(array, page) == array.dtype:
                    array[k] = page
                else:
                    wider.append((k, page))
            return wider

        left = place(begun)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for several in pool.map(lambda item: place(_decoded(item[1])), others):
                left += several
    for k, page in left:
        array = array.astype(np.result_type(array, page), copy=False)
        array[k] = page
    missing = [k for k, one in enumerate(slices) if one is None]
    if missing:  # a missing slice shows nothing: the darkest value, such as air
        array[missing] = min(array[k].min() for k, one in enumerate(slices) if one is not None)
    return array


def _decoded(places: dict[int, tuple[int, Slice]]) -> Iterator[tuple[int, Array]]:
    """Place in the stack and values of each wanted frame of a file."""
    one = next(iter(places.values()))[1]
    if one.pixels is None:
        raise undecodable(one.path)
    for frame, stored in stored_frames(one.pixels, places):
        k, one = places[frame]
        yield k, _narrowed(values_of(one.pixels, one.meaning, one.rescale, stored))  # type: ignore[arg-type]


def _narrowed(page: Array) -> Array:
    """Rescaled numbers come in a wide type; nearly all CT fits 16 bit."""
    if page.dtype.kind in "iu" and page.dtype.itemsize > 2 and page.min() >= -32768 and page.max() <= 32767:
        return page.astype(np.int16)
    return page
