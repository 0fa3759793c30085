"""What of an annotation a person vouches for: slices with a word on them, and the masks there. All else is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from boltzformer.errors import DatasetError
from boltzformer.image.geometry import Grid
from boltzformer.types import Annotation, LabelMap, SliceState

CODE = {SliceState.UNSEEN: ".", SliceState.REVIEWED: "+", SliceState.EMPTY: "0", SliceState.IGNORED: "x"}
"""How a slice's state is written in our JSON: one character per slice, so that a person sees the volume at a glance."""
_STATE = {code: state for state, code in CODE.items()}

Mask = NDArray[np.bool_]
States = tuple[SliceState, ...]


@dataclass(frozen=True)
class Accepted:
    """Of one label."""

    states: States
    mask: Mask
    """(Z, Y, X); nothing where nobody looked."""


TakenBack = Mapping[str, Sequence[int]]
"""Label name → slices, along the stored axis, of which the last word is undone: the one before it holds, if any. As
many of them as the slice is named times."""


def accepted(annotation: Annotation, *, taken_back: TakenBack = MappingProxyType({})) -> dict[str, Accepted]:
    """Label name → what is vouched for. A reviewed slice without a voxel counts as reviewed-empty.

    Of nothing there is no revision, unless it is one that takes something back.
    """
    found: dict[str, Accepted] = {}
    value_of = {name: value for value, name in annotation.labels.names.items()}
    for name, said in annotation.slices.items():
        if set(said) == {SliceState.UNSEEN}:
            continue
        mask = annotation.labels.mask(value_of[name])
        planes = np.moveaxis(mask, annotation.slice_axis, 0)
        filled: Mask = np.asarray(planes.any(axis=(1, 2)))
        states = list(said)
        for index, state in enumerate(said):
            if state is SliceState.UNSEEN:
                planes[index] = False
            elif state is SliceState.REVIEWED and not filled[index]:
                states[index] = SliceState.EMPTY
            elif state is SliceState.EMPTY and filled[index]:
                raise DatasetError(
                    f"Slice {index} is marked as empty of '{name}' but {int(planes[index].sum())} voxels are painted: "
                    "erase them, or accept the slice as reviewed."
                )
        found[name] = Accepted(tuple(states), mask)
    if not found and not any(taken_back.values()):
        raise DatasetError("No slice has been reviewed: accept at least one, or say that nothing is in it.")
    return found


def only_new(given: Mapping[str, Accepted], before: Mapping[str, Accepted], axis: int) -> dict[str, Accepted]:
    """Without slices that say the same as before, so that they don't speak against what another writer changed."""
    new: dict[str, Accepted] = {}
    for name, now in given.items():
        old = before.get(name)
        if old is None:
            new[name] = now
            continue
        differs = (np.moveaxis(now.mask, axis, 0) != np.moveaxis(old.mask, axis, 0)).any(axis=(1, 2))
        news = [
            changed or was is not state for changed, was, state in zip(differs, old.states, now.states, strict=True)
        ]
        states = tuple(s if n else SliceState.UNSEEN for s, n in zip(now.states, news, strict=True))
        if set(states) != {SliceState.UNSEEN}:
            mask = now.mask.copy()
            np.moveaxis(mask, axis, 0)[[state is SliceState.UNSEEN for state in states]] = False
            new[name] = Accepted(states, mask)
    return new


def layered(masks: Mapping[str, Mask], grid: Grid) -> LabelMap:
    """Masks as labels 1, 2, …; a layer more only where they overlap."""
    if len(masks) > 255:
        raise DatasetError(f"There are {len(masks)} labels, but masks hold 255: keep the others in another dataset.")
    layers = [np.zeros(grid.shape, np.uint8)]
    for value, mask in enumerate(masks.values(), 1):
        free = next((layer for layer in layers if not layer[mask].any()), None)
        if free is None:
            layers.append(free := np.zeros(grid.shape, np.uint8))
        free[mask] = value
    return LabelMap(np.stack(layers), grid, dict(enumerate(masks, 1)))


def encoded(states: States) -> str:
    """One character per slice."""
    return "".join(CODE[state] for state in states)


def decoded(text: str) -> States:
    """The other way; a KeyError for an unknown character."""
    return tuple(_STATE[code] for code in text)
