"""`SegmentMask`: a segment as the desk knows a mask. It is written into the segment's own labelmap, in place.

Slicer's undo holds states of the whole segmentation, and its events carry no rows. So rows are compared by checksums
(23 ms for 300 × 512²), and a labelmap that is a new object means undo or redo: an effect keeps the object.

A state that was kept before the model wrote a slice lacks that slice. Every stroke follows a state that is as the mask
was before it, so states are known by their checksums, and what was written since is written again when one comes back.
That, and all writing after an undo, is done without Slicer's event: it would end Redo, and the next Undo would lead
to where it is, for ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from boltzformer.desk.masks.whose import unpacked
from boltzformer.desk.ports import Mask, Rows
from boltzformer.image.geometry import CanonicalView
from BoltzFormerLib.history import History, rules, settings_of

LABELMAP = "Binary labelmap"
MOST_STATES = 64
"""So many are known; Slicer keeps five, unless somebody wants more."""
Extent = tuple[int, int, int, int, int, int]


class SegmentMask:
    """It is told how the image lies; the segment may be renamed, hidden, painted on, undone, removed, brought back."""

    def __init__(
        self,
        key: str,
        node: Any,
        segment: str,
        *,
        shape: tuple[int, int, int],
        view: CanonicalView,
        ijk_to_ras: Any,
        history: History,
    ) -> None:
        """`shape`: of the stored array (k, j, i). `ijk_to_ras`: the image's vtkMatrix4x4."""
        self.key, self.node, self.segment = key, node, segment
        self._stored, self._view, self._matrix, self._history = shape, view, ijk_to_ras, history
        a, b, c = (shape[axis] for axis in view.order)
        self._shape = a, b, c
        self._known: Any = None
        """The labelmap as it was last seen, and when it was changed last."""
        self._when = 0
        self._area = b * c
        self._sums = dict.fromkeys(range(a), _checksum(np.zeros((b, c), np.uint8)))
        """Of the rows as they were last known."""
        self._stroked: set[int] = set()
        """Rows that states of the history may hold otherwise, since a person was there."""
        self._restored = False
        """Whether nothing but our own writing has happened since an undo or redo."""
        self._written: int | None = None
        """The row of the last step, where that is the model's."""
        self._states: dict[int, dict[int, NDArray[np.uint8]]] = {}
        """Of the history, by their voxels: what the model has written since, packed, by row."""
        self._ours = False
        """Whether it is we who change it."""
        self._stale = False
        self._gone = False
        self.left: Callable[[], None] = lambda: None
        """Called when the segment was removed."""
        self.other: Callable[[], None] = lambda: None
        """Called when it has another name, colour or tag, perhaps."""
        self._heard: list[Callable[[Rows, bool], None]] = []
        self._last = self._segment()
        """So that a segment that was removed can come back."""
        self._first_name, self._colour = self._last.GetName(), _hex(self._last.GetColor())
        blank = self._labelmap() is None or self._labelmap().IsEmpty()
        self._own()
        if not blank:
            self._note(range(a))
        segmentation = node.GetSegmentation()
        of = segmentation
        events = of.SourceRepresentationModified, of.SegmentModified, of.SegmentAdded, of.SegmentRemoved
        self._observed = [(segmentation, segmentation.AddObserver(event, self._on_event)) for event in events]

    # --- what the desk asks -------------------------------------------------------------------------------------

    @property
    def colour(self) -> str:
        segment = self._segment()
        if segment is not None:
            self._colour = _hex(segment.GetColor())
        return self._colour

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self._shape

    @property
    def name(self) -> str:
        """'' as long as it bears the prompt's."""
        name = str((self._segment() or self._last).GetName())
        return "" if name == self._first_name else name

    @property
    def alive(self) -> bool:
        image = self._labelmap()
        return self.node.GetScene() is not None and image is not None and self._lies_right(image)

    @property
    def shown(self) -> bool:
        display = self.node.GetDisplayNode()
        return display is None or bool(display.GetSegmentVisibility(self.segment))

    @shown.setter
    def shown(self, shown: bool) -> None:
        display = self.node.GetDisplayNode()
        if display is not None:
            display.SetSegmentVisibility(self.segment, shown)

    def row(self, row: int) -> NDArray[np.uint8]:
        """0 and 1, whatever value the segment has in its labelmap; never kept."""
        whole = self._voxels()
        if whole is None:
            return np.zeros(self._shape[1:], np.uint8)
        return np.equal(self._view.apply(whole)[row], self._value()).view(np.uint8)

    def copy(self) -> NDArray[np.uint8]:
        whole = self._voxels()
        if whole is None:
            return np.zeros(self._shape, np.uint8)
        return np.ascontiguousarray(np.equal(self._view.apply(whole), self._value())).view(np.uint8)

    def write(self, masks: Mapping[int, Mask], *, beneath: bool = False, again: bool = False) -> None:
        """Where a person has been, as a step: a state of the history over other voxels would mix two masks. Also
        beneath strokes, for a state here is of all voxels."""
        steps = {row: one for row, one in masks.items() if row in self._stroked}
        if any(not np.array_equal(self.row(row), mask) for row, mask in steps.items()):
            if not (again and (steps.keys() == {self._written} or (beneath and self._shape[0] > 1))):
                self._save()
                self._written = next(iter(steps)) if len(steps) == 1 else None
            self._put(steps)
            self.draw()
        rest = {row: mask for row, mask in masks.items() if row not in self._stroked}
        if rest:
            self._put(rest)
            packed = {row: np.packbits(mask) for row, mask in rest.items()}
            for lacking in self._states.values():
                lacking.update(packed)

    def edit(self, masks: Mapping[int, Mask]) -> None:
        """One step; through the Segment Editor where its masks and overwrite mode have a say."""
        others = {row: mask for row, mask in masks.items() if not np.array_equal(self.row(row), mask)}
        if others:
            self._stroked |= others.keys()
            self._save()
            self._written = None
            if rules(settings_of(self.node)):
                self._edit_as_editor(others)
            else:
                self._put(others)
                self.draw()

    def draw(self) -> None:
        """After an undo without the event at which Slicer forgets every redo."""
        image = self._labelmap()
        if image is None or not self._stale:
            return
        self._stale = False
        if self._restored:
            display = self.node.GetDisplayNode()
            if display is not None:
                display.Modified()
            return
        self._ours = True
        try:
            image.Modified()
        finally:
            self._ours = False
        self._when = image.GetMTime()

    def listen(self, heard: Callable[[Rows, bool], None]) -> None:
        self._heard.append(heard)

    # --- what the stage asks ------------------------------------------------------------------------------------

    def bring_back(self) -> None:
        """Into the segmentation, as it was last; nothing where that is gone, too."""
        if self._segment() is None and self.node.GetScene() is not None:
            self.node.GetSegmentation().AddSegment(self._last, self.segment)

    def leave(self) -> None:
        """Nothing is listened to any more."""
        for segmentation, tag in self._observed:
            segmentation.RemoveObserver(tag)
        self._observed = []

    # --- voxels -------------------------------------------------------------------------------------------------

    def _put(self, masks: Mapping[int, Mask]) -> None:
        """In place: replacing or merging labelmaps costs from 2 to 74 ms a slice."""
        if not self._owned():
            self._own()
        whole, value = self._voxels(), self._value()
        assert whole is not None
        rows = self._view.apply(whole)
        for row, mask in masks.items():
            rows[row] = mask
            if value != 1:
                rows[row] *= value
        image = self._labelmap()
        # The array's own time: Undo must see that its last state is out of date, without an event for every slice.
        image.GetPointData().GetScalars().Modified()
        self._known, self._when, self._stale = image, image.GetMTime(), True
        self._note(masks)

    def _edit_as_editor(self, masks: Mapping[int, Mask]) -> None:
        """What is to be added, then what is to go, as an effect would do it."""
        logic, editor = slicer.vtkSlicerSegmentEditorLogic(), settings_of(self.node)
        logic.SetMRMLScene(self.node.GetScene())
        logic.SetSegmentEditorNode(editor)
        steps = (logic.ModificationModeAdd, masks), (logic.ModificationModeRemove, {r: ~m for r, m in masks.items()})
        self._ours = True
        try:
            for mode, what in steps:
                modifier = self._image(what, 1)
                logic.ModifySegmentByLabelmap(self.node, self.segment, modifier, mode, False, False)
        finally:
            self._ours = False
        self._own()
        self._note(range(self._shape[0]))
        self._stale = True

    def _voxels(self) -> NDArray[Any] | None:
        """(k, j, i) of the whole image: the labelmap's own memory, unless an effect cropped it. None: no segment."""
        image = self._labelmap()
        if image is None:
            return None
        extent: Extent = image.GetExtent()
        scalars = image.GetPointData().GetScalars()
        if extent == self._extent and scalars is not None:
            return vtk_to_numpy(scalars).reshape(self._stored)
        whole = np.zeros(self._stored, np.uint8)
        low, high = np.maximum(extent[::2], 0), np.minimum(extent[1::2], np.array(self._stored[::-1]) - 1)
        if scalars is not None and (low <= high).all():
            i0, i1, j0, j1, k0, k1 = extent
            part = vtk_to_numpy(scalars).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
            inside = tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1], strict=True))
            first = np.array([i0, j0, k0])
            seen = tuple(slice(a, b + 1) for a, b in zip((low - first)[::-1], (high - first)[::-1], strict=True))
            whole[inside] = part[seen]
        return whole

    def _own(self) -> None:
        """A labelmap of the whole image for this segment alone: what lies in it stays.

        New segments share one, effects crop it to what is painted, and only one of full size can be written in place.
        """
        if self._owned():
            return
        segment, now = self._segment(), self._labelmap()
        held = {} if now is None or now.IsEmpty() else dict(enumerate(self.copy() > 0))
        image = self._image(held, 1)
        self._ours = True
        try:
            segment.AddRepresentation(LABELMAP, image)
            segment.SetLabelValue(1)  # whatever it was among others in the one that they shared
        finally:
            self._ours = False
        self._known, self._when = image, image.GetMTime()

    def _owned(self) -> bool:
        image = self._labelmap()
        if image is None or image.GetExtent() != self._extent or image.GetScalarType() != vtk.VTK_UNSIGNED_CHAR:
            return False
        segmentation = self.node.GetSegmentation()
        others = (one for one in segmentation.GetSegmentIDs() if one != self.segment)
        return not any(segmentation.GetSegment(one).GetRepresentation(LABELMAP) is image for one in others)

    def _image(self, masks: Mapping[int, Mask], value: int) -> Any:
        """On the image's own grid."""
        image = slicer.vtkOrientedImageData()
        image.SetExtent(self._extent)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(self._stored)
        voxels[...] = 0
        rows = self._view.apply(voxels)
        for row, mask in masks.items():
            rows[row] = mask * np.uint8(value)
        image.SetImageToWorldMatrix(self._matrix)
        return image

    @property
    def _extent(self) -> Extent:
        slices, rows, columns = self._stored
        return 0, columns - 1, 0, rows - 1, 0, slices - 1

    def _segment(self) -> Any:
        return self.node.GetSegmentation().GetSegment(self.segment)

    def _labelmap(self) -> Any:
        segment = self._segment()
        return None if segment is None else segment.GetRepresentation(LABELMAP)

    def _value(self) -> int:
        return int(self._segment().GetLabelValue())

    def _lies_right(self, image: Any) -> bool:
        """Whether its voxels are the image's: a person may have given the segmentation another geometry."""
        if image.IsEmpty():
            return True
        matrix = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        pairs = ((matrix.GetElement(n // 4, n % 4), self._matrix.GetElement(n // 4, n % 4)) for n in range(16))
        return all(abs(one - other) < 1e-4 for one, other in pairs)

    # --- others -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """After an undo, Slicer keeps nothing twice: it waits for the event of a change, and `draw` must follow."""
        self._remember()
        self._restored = False
        self._history.save()

    def _on_event(self, *_: Any) -> None:
        if self._ours:
            return
        image = self._labelmap()
        if image is None:
            if not self._gone:
                self._gone = True
                self.left()
            return
        self._gone = False
        if not self._lies_right(image):
            return
        self._last = self._segment()
        undone = image is not self._known
        if not undone and image.GetMTime() == self._when:
            self.other()
            return
        self._known, self._when, self._written = image, image.GetMTime(), None
        before = self._sums
        self._remember()
        if undone:
            self._arrive()
        else:
            self._restored = False
        self._note(range(self._shape[0]))
        changed = {row for row, now in self._sums.items() if now != before[row]}
        if not undone:
            self._stroked |= changed
        if changed:
            for heard in self._heard:
                heard(changed, undone)
        self.draw()  # what was put back

    def _arrive(self) -> None:
        """At a state of the history. At once: while one is being restored, Slicer forgets none of the later ones."""
        if not self._owned():
            self._own()
        self._note(range(self._shape[0]))
        self._restored, shape = True, self._shape[1:]
        lacking = self._states.get(self._print(), {})
        self._put({row: unpacked(bits, shape) > 0 for row, bits in lacking.items()})

    def _remember(self) -> None:
        """Slicer keeps the mask as it is known: before each stroke, and where an undo begins."""
        state = self._print()
        self._states.pop(state, None)
        self._states[state] = {}
        if len(self._states) > MOST_STATES:
            del self._states[next(iter(self._states))]

    def _print(self) -> int:
        """The mask as it is known, told from others."""
        return hash(tuple(self._sums.values()))

    def _note(self, rows: Collection[int]) -> None:
        whole, value, sums = self._voxels(), self._value(), dict(self._sums)
        assert whole is not None
        now = self._view.apply(whole)
        plain = value == 1 and whole.dtype == np.uint8  # 0 and 1 already
        for row in rows:
            sums[row] = _checksum(now[row] if plain else np.equal(now[row], value).view(np.uint8))
        self._sums = sums


def _checksum(voxels: NDArray[np.uint8]) -> int:
    return zlib.crc32(np.ascontiguousarray(voxels).data)


def _hex(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * one):02X}" for one in colour)
