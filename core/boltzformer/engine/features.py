"""`FeatureCache`: what the image encoder made of slices, so that another prompt, seed or tuned decoder is quick;
`TextCache`: what the text encoder made of prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from boltzformer.image.intensity import Window
from boltzformer.image.slicing import SlicePlan
from boltzformer.model.boltzformer import BoltzFormer, ImageState
from boltzformer.model.text import TextState

KEPT_PROMPTS = 256
"""Embeddings of so many prompts are kept; each is a few kB."""


@dataclass(frozen=True)
class Scope:
    """All that features depend on, but for the slice."""

    volume: str
    """Hash of the voxels."""
    plan: SlicePlan
    """With the region, if there is one."""
    window: Window
    encoder: str
    """Hash of the weights that see the image."""
    device: str
    dtype: str


class FeatureCache:
    """Keeps slices under a budget of bytes: near the focus first, and of the volume in use before others.

    A sweep that moves away from the focus over a volume too large to keep evicts nothing: the slices farthest out are
    the ones it does not keep. So the same sweep with another prompt finds the first slices that it needs.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._kept: dict[Scope, dict[int, ImageState]] = {}  # the scope in use is the last
        self._focus: dict[Scope, int] = {}

    @property
    def used(self) -> int:
        """Bytes."""
        return self._used

    @property
    def budget(self) -> int:
        """Bytes; a smaller one takes effect at once."""
        return self._budget

    @budget.setter
    def budget(self, limit: int) -> None:
        self._budget = limit
        while self._used > limit and self._make_room(None, 0):
            pass

    def __len__(self) -> int:
        """Number of slices."""
        return sum(map(len, self._kept.values()))

    def focus(self, scope: Scope, index: int) -> None:
        """Says what is in use, and the slice that its user looks at."""
        here = self._kept.pop(scope, {})
        self._kept = {**{other: kept for other, kept in self._kept.items() if kept}, scope: here}
        self._focus[scope] = index

    def get(self, scope: Scope, index: int) -> ImageState | None:
        """What is known of a slice."""
        return self._kept.get(scope, {}).get(index)

    def put(self, scope: Scope, index: int, state: ImageState) -> None:
        """Keeps a slice if there is room, or if room can be made by giving up something less near."""
        if state.nbytes > self._budget or self.get(scope, index) is not None:
            return
        while self._used + state.nbytes > self._budget:
            if not self._make_room(scope, index):
                return
        self._kept[scope][index] = state
        self._used += state.nbytes

    def clear(self) -> None:
        """Lets go of everything."""
        self._kept.clear()
        self._focus.clear()
        self._used = 0

    def _make_room(self, scope: Scope | None, index: int) -> bool:
        """Gives up the farthest slice of the volume that was not used for longest; False if none is less near."""
        for oldest in [scope for scope, kept in self._kept.items() if kept]:
            centre = self._focus[oldest]
            farthest = max(self._kept[oldest], key=lambda one: (abs(one - centre), one))
            if oldest == scope and (abs(farthest - centre), farthest) <= (abs(index - centre), index):
                return False
            self._used -= self._kept[oldest].pop(farthest).nbytes
            return True
        return False


def one_by_one(batch: ImageState) -> list[ImageState]:
    """The states of the slices of a batch, each in memory of its own: giving one up frees it."""
    if len(batch.tokens.semantic) == 1:
        return [batch]
    pyramid = batch.pyramid
    return [
        ImageState(
            replace(
                batch.tokens,
                tokens=tuple(_part(grid, b) for grid in batch.tokens.tokens),
                semantic=_part(batch.tokens.semantic, b),
                semantic_tokens=tuple(_part(grid, b) for grid in batch.tokens.semantic_tokens),
            ),
            None if pyramid is None else (_part(pyramid[0], b), _part(pyramid[1], b)),
        )
        for b in range(len(batch.tokens.semantic))
    ]


def _part(tensor: torch.Tensor, b: int) -> torch.Tensor:
    return tensor[b : b + 1].clone()


class TextCache:
    """Each prompt is encoded alone, unpadded, so that its answer never depends on the prompts beside it."""

    def __init__(self) -> None:
        self._kept: dict[str, TextState] = {}

    def of(self, model: BoltzFormer, text: str) -> TextState:
        if text not in self._kept:
            while len(self._kept) >= KEPT_PROMPTS:
                del self._kept[next(iter(self._kept))]
            self._kept[text] = model.encode_text([text])
        return self._kept[text]

    def clear(self) -> None:
        """The model has other weights now, or is elsewhere."""
        self._kept.clear()
