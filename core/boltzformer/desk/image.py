"""`OpenImage`: an image in the viewer, made once: its voxels and plan, and what the desk remembers of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from boltzformer.desk.masks.kept import Thresholds
from boltzformer.desk.scale import Scale
from boltzformer.errors import BoltzFormerError
from boltzformer.image.intensity import look_like_ct
from boltzformer.image.slicing import SlicePlan
from boltzformer.knowledge.suggestions import modality_in_name, modality_named
from boltzformer.types import Volume

SOME = 9
"""So many slices tell whether values look like CT: to look at all of them would hold the viewer."""


class OpenImage:
    """By identity: two are one image only if they are one object."""

    def __init__(
        self,
        key: str,
        read: Callable[[], Volume],
        name: Callable[[], str],
        version: Callable[[], object] = lambda: None,
    ) -> None:
        """`read` makes a `Volume` that shows the viewer's own voxels; it is asked again when `version` is another."""
        self.key = key
        self.case: str | None = None
        """Its id in a dataset, '' for a file of a case list; None: nobody opened it from a list."""
        self.store = ""
        """The dataset where its work is kept; '': nobody has said it yet."""
        self.ours = True
        """Whether it was opened as a patient's image, not made by a script or another plugin as a help."""
        self.typed: list[str] = []
        """What a person looks for in it, in their order."""
        self._came_with: list[str] | None = None
        """What stood in the box when it came; None: nothing was told of that yet."""
        self.seen: set[int] = set()
        """Rows that were on screen."""
        self.thresholds: Thresholds | None = None
        """What its masks are shown at; None: the model's own."""
        self.apart: bool | None = None
        """Whether it got one label per object where nobody chose that for it; None: it has not been shown yet."""
        self._read, self._name, self._version = read, name, version
        self._known: tuple[object, Volume, SlicePlan, Scale] | None = None

    def stands_in_box(self, texts: Sequence[str]) -> None:
        """These prompts, now that it is in hand."""
        self.typed = list(texts)
        if self._came_with is None:
            self._came_with = self.typed

    @property
    def typed_since(self) -> list[str]:
        """Of its prompts those that were typed since it came."""
        return [] if self._came_with is None else [text for text in self.typed if text not in self._came_with]

    @property
    def name(self) -> str:
        """What the viewer calls it now."""
        return self._name()

    @property
    def volume(self) -> Volume:
        """Raises where it can't be segmented, and says why."""
        return self._facts()[0]

    @property
    def plan(self) -> SlicePlan:
        """How it is cut into slices, whatever size a model sees them at."""
        return self._facts()[1]

    @property
    def modality(self) -> str:
        """'' where nobody says it, or it can't be segmented: running tells why."""
        try:
            return self.volume.modality
        except BoltzFormerError:
            return ""

    @cached_property
    def kind(self) -> str:
        """Its modality as we call it; where nobody says it, CT if its values look like it, else what its name says, or
        how small its pixels are."""
        try:
            volume, _, scale = self._facts()
            if volume.modality:
                return modality_named(volume.modality)
            some = np.linspace(0, volume.grid.shape[volume.slice_axis] - 1, SOME).round().astype(int)
            like_ct = look_like_ct(volume.array.take(some, volume.slice_axis))
            small = "microscopy" if scale.length_unit == "µm" else ""
            return "CT" if like_ct else modality_in_name(self.name) or small
        except BoltzFormerError:
            return ""

    @property
    def likeness(self) -> tuple[object, ...]:
        """Alike for images that may come from one series of the same kind, for all that is known: modality, picture or
        volume, in millimetres or not, a volume of 8 bits or of more. () where nobody can tell."""
        try:
            volume, plan, scale = self._facts()
        except BoltzFormerError:
            return ()
        picture, millimetres = plan.count == 1, scale.length_unit == "mm"
        # cameras take the same in colour or gray, with 8, 12 or 16 bits
        values = None if picture else (volume.array.ndim, volume.array.dtype.itemsize == 1)
        return self.kind, picture, millimetres, values

    def is_same_as(self, other: OpenImage) -> bool:
        """Whether one file was opened twice: voxel for voxel it is the same image."""
        try:
            mine, others = self.volume, other.volume
        except BoltzFormerError:
            return False
        told = (mine.source, mine.name, mine.grid) == (others.source, others.name, others.grid)
        return told and (mine.array is others.array or np.array_equal(mine.array, others.array))

    @property
    def count(self) -> int:
        """Of slices."""
        return self.plan.count

    @property
    def is_picture(self) -> bool:
        """One slice and no third dimension: no millilitres, no 'all slices'."""
        return self.plan.count == 1

    @property
    def row_spacing_mm(self) -> tuple[float, float]:
        """Of rows and of columns within a slice; 1 where there is no scale."""
        down, across = self.volume.grid.canonical_scale_translate(self.volume.slice_axis)[0][-2:]
        return abs(float(down)), abs(float(across))

    @property
    def scale(self) -> Scale:
        """What its voxels measure."""
        return self._facts()[2]

    def _facts(self) -> tuple[Volume, SlicePlan, Scale]:
        now = self._version()
        if self._known is None or self._known[0] is not now:
            volume = self._read()
            self._known = now, volume, plan_of(volume), Scale.of(volume)
        return self._known[1:]


def plan_of(volume: Volume) -> SlicePlan:
    """How it is cut into slices, whatever size a model sees them at."""
    return SlicePlan.of(volume.grid, 1, volume.slice_axis)
