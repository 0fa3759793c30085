"""Which of the open images a layer goes with that came into the viewer, with whatever reader."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels

from boltzformer import io
from boltzformer.desk.keeping.masks_among import is_named_after
from napari_boltzformer.host.layers import KEY
from napari_boltzformer.host.mask import key_of

if TYPE_CHECKING:
    from napari.layers import Layer


def adopt(
    owners: MutableMapping[str, str],
    layer: Layer,
    layers: Sequence[Layer],
    images: Sequence[Image],
    chosen: Image | None,
) -> bool:
    """Labels of a file go with the image that they are named after, else with the only one of their size; what was
    drawn here with the one in hand. `owners`: keys of layers and of their images. False: nobody can tell."""
    for one in layers if isinstance(layer, Image) else ():  # files are opened in any order: its image may come second
        told = isinstance(one, Labels) and _made_on(one, images, None) is None
        if told and (found := _named(one, images)) is not None:
            owners[key_of(one)] = key_of(found)
    if isinstance(layer, Image) or chosen is None:
        return True
    its: Image | None = (made := _made_on(layer, images, chosen)) or chosen
    if made is None and isinstance(layer, Labels) and _stem(layer) and len(images) > 1:
        fits = [one for one in images if _size(one) == _size(layer)]
        its = _named(layer, images) or (fits[0] if len(fits) == 1 else None)
    if its is not None:
        owners.setdefault(key_of(layer), key_of(its))
    return its is not None


def _made_on(layer: Layer, images: Sequence[Image], chosen: Image | None) -> Image | None:
    """The image whose voxels it was made on, as it says itself; of several that are the same, the one in hand."""
    told = layer.metadata.get(KEY)
    if told is None:
        return None
    alike = [one for one in images if KEY in one.metadata and _about(one.metadata[KEY]) == _about(told)]
    return chosen if chosen in alike else next(iter(alike), None)


def _about(told: Mapping[str, Any]) -> tuple[Any, ...]:
    return told["source"], told["name"], told["grid"]


def _named(labels: Labels, images: Sequence[Image]) -> Image | None:
    """Of 'cell' and 'cell_2' it is the latter for 'cell_2_mask'."""
    stem = _stem(labels)
    named = [one for one in images if _stem(one) and stem != _stem(one) and is_named_after(stem, _stem(one))]
    return max(named, key=lambda one: len(_stem(one)), default=None)


def _stem(layer: Layer) -> str:
    """Of its file; '' where it was made here."""
    path = layer.source.path or (layer.metadata[KEY]["source"] if KEY in layer.metadata else "")
    return io.split_name(Path(path))[0] if path else ""


def _size(layer: Layer) -> tuple[int, ...]:
    """Without axes of one slice, which readers keep or leave out, and without colours."""
    shape = layer.data.shape[: layer.ndim]
    return tuple(count for count in shape if count > 1)
