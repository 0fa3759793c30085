"""The lesion table: every object of every mask, in a list to click and in a table node for whoever works on with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import vtk

from boltzformer.desk.desk import Desk
from boltzformer.desk.keeping.lesions import Lesion, columns, included, standing, table_name, total
from boltzformer.desk.masks.track import Track
from BoltzFormerLib.stage import HELPER, SlicerStage
from BoltzFormerLib.translating import tr


class LesionTable:
    """Shows what was measured when it was last asked to."""

    def __init__(self, ui: Any, desk: Desk, stage: SlicerStage, show: Callable[[Track, tuple[int, int, int]], None]):
        """`show` brings a voxel (slice, row, column) of a mask into the middle of the views."""
        self._ui, self._desk, self._stage, self._show = ui, desk, stage, show
        self.lesions: list[Lesion] = []
        self._measured: dict[str, int] = {}
        """How the masks stood then."""
        self.node: Any = None
        ui.measureButton.connect("clicked()", self.measure)
        ui.excludeButton.connect("clicked()", self._exclude)
        ui.lesionList.connect("itemClicked(QListWidgetItem*)", lambda _: self._go())
        desk.masks_changed.append(self._outdated)

    def measure(self) -> None:
        """Beside the viewer: a large mask takes seconds."""
        self._ui.lesionTotal.text = tr("Measuring…")
        self._measured = standing(self._desk.tracks.chosen())
        self._desk.measure(self.show_lesions)

    def show_lesions(self, lesions: list[Lesion]) -> None:
        self.lesions, tracks = lesions, self._tracks()
        self._ui.lesionList.clear()
        for one in lesions:
            item = qt.QListWidgetItem(" · ".join(one.texts))
            out = one.mask in tracks and not included(one, tracks)
            item.setCheckState(qt.Qt.Unchecked if out else qt.Qt.Checked)
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
            self._ui.lesionList.addItem(item)
        self._ui.lesionTotal.text = total(lesions, tracks)
        self._write_node()

    def forget(self) -> None:
        """Another volume is chosen: nothing of the last patient is left to read. Its table node stays with it."""
        self.node, self.lesions = None, []
        self._ui.lesionList.clear()
        self._ui.lesionTotal.text = ""

    def _write_node(self) -> None:
        image = self._stage.chosen()
        if image is None:
            return
        self.node = self._stage.helper("vtkMRMLTableNode", image)
        if self.node is None:
            self.node = self._stage.scene.AddNewNodeByClass("vtkMRMLTableNode", table_name(image))
            self.node.SetAttribute(HELPER, image.node.GetID())
        self.node.RemoveAllColumns()
        for number, title in enumerate(columns(image.scale)[1:]):
            column = vtk.vtkStringArray()
            column.SetName(title)
            for one in self.lesions:
                column.InsertNextValue(one.texts[number])
            self.node.AddColumn(column)

    def _tracks(self) -> dict[str, Track]:
        return {track.key: track for track in self._desk.tracks.chosen()}

    def _chosen(self) -> tuple[Lesion, Track] | None:
        row = self._ui.lesionList.currentRow
        one = self.lesions[row] if 0 <= row < len(self.lesions) else None
        track = None if one is None else self._tracks().get(one.mask)
        return None if one is None or track is None else (one, track)

    def _go(self) -> None:
        if (chosen := self._chosen()) is not None:
            self._show(chosen[1], chosen[0].voxel)

    def _exclude(self) -> None:
        """Out of exports, or back into them."""
        if (chosen := self._chosen()) is not None:
            one, track = chosen
            out = included(one, {track.key: track})
            self._desk.leave_out(track, *one.voxels, out=out)
            row = self._ui.lesionList.currentRow
            self.show_lesions(self.lesions)
            self._ui.lesionList.setCurrentRow(row)

    def _outdated(self, track: Track) -> None:
        changed = standing(self._desk.tracks.chosen()) != self._measured
        if self.lesions and changed and track.key in self._tracks():
            self._ui.lesionTotal.text = tr("The masks have changed since: Measure again.")
