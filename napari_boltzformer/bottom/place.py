"""`Bottom`: what lies below the canvas: the slice bar of the chosen image, and how the model looked at its slice."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from boltzformer.desk.looks.following import LooksFollower, OnScreen
from boltzformer.types import SliceState
from napari_boltzformer.bottom.looks_view import LooksView
from napari_boltzformer.bottom.review import Lane, SliceReview
from napari_boltzformer.canvas.light import CanvasLight
from napari_boltzformer.host.layers import open_image, plan_of, shows_slices, volume_of
from napari_boltzformer.host.mask import Track, same
from napari_boltzformer.host.timers import QtTimers
from napari_boltzformer.run import named

if TYPE_CHECKING:
    from napari_boltzformer.widget import BoltzFormerDock

DIST, DOCK = "napari-boltzformer", "Segment by text"
SLICES, LOOKS = "Slices", "How it looked"
SOON_MS = 50
ROOMY = 900
"""Pixels: in a window of less height, bar and looks are tabs."""


class Bottom(QObject):
    """Tells bar and looks what they need to know; they appear when there is something to show."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__(dock)
        self._dock = dock
        self._tracks: list[Track] = []
        self._lanes: list[Lane] = []
        self._image: Image | None = None
        self._shown: Any = None
        self._watched: Any = None
        self._dirty: set[int] = set()
        self._other: set[Track] = set()
        self._painted: set[Track] = set()
        self._failed: dict[str, dict[int, str]] = {}
        """By image: rows at which a run broke off, and why."""
        self.review = SliceReview(self._write, self._refresh)
        self.review.jumped.connect(dock.jump)
        self.review.reapplied.connect(self._reapplied)
        self.looks = LooksView()
        for widget in (self.review, self.looks):
            widget.setParent(dock)  # until it gets a place of its own in the window
            widget.hide()
        light = CanvasLight(dock.viewer)
        self._follower = LooksFollower(
            self.looks, light, self._on_screen, lambda: dock.session, dock.background.do, QtTimers(dock)
        )
        self.looks.asked.connect(self._follower.ask)
        self.looks.previewed.connect(self._follower.preview)
        self.looks.hidden.connect(light.clear)
        self._soon = QTimer(dock)
        self._soon.setSingleShot(True)
        self._soon.setInterval(SOON_MS)
        self._soon.timeout.connect(self._show_states)

    # --- what the dock tells -------------------------------------------------------------------------------------

    def show_tracks(self) -> None:
        """The masks of the chosen image as they are now: at a run's begin, and when what is known has changed."""
        dock = self._dock
        self._image, self._tracks = dock.chosen_image(), dock.tracks()
        self._shown = self._what_is_shown()
        if self._image is None or not self._tracks:
            self._lanes = []
            self.review.set_run((), 1, row=0, gate=0.5, voxel_ml=None)
            return
        volume = volume_of(self._image)
        flat = volume.grid.shape[plan_of(volume).axis] == 1
        ml = None if flat else abs(float(np.linalg.det(volume.grid.axes))) / 1000
        self._lanes = [Lane(one.name, QColor(one.colour), one.kept, *_painted(one)) for one in self._tracks]
        count, gate = len(self._tracks[0].rows), self._tracks[-1].gate
        self.review.set_run(self._lanes, count, row=dock.row(), gate=gate, voxel_ml=ml)
        self._show_states()
        self._show_failed()
        self._put_in_window(self.review, SLICES)

    def layers_changed(self) -> None:
        """Image or masks may be others than those that are shown."""
        if self._what_is_shown() != self._shown:
            self.show_tracks()
        self.moved()

    def slice_finished(self, image: Image, row: int) -> None:
        """A run wrote this row."""
        if self._failed.get(image.unique_id, {}).pop(row, None) is not None:
            self._show_failed()
        if same(image, self._image):
            self.review.slice_finished(row)
            if row == self._dock.row():
                self._follower.moved()

    def slice_failed(self, image: Image, row: int, why: str) -> None:
        """A run broke off at this row."""
        self._failed.setdefault(image.unique_id, {})[row] = why
        self._show_failed()

    def changed(self, track: Track) -> None:
        """A person painted, or said something of a slice: often many times in a row."""
        self._painted.add(track)
        self._soon.start()

    def moved(self) -> None:
        """Another slice, image or mask is on screen, or may be."""
        track, row = self._dock.active_track(), self._dock.row()
        watched = self._image, row, None if track is None else track.layer.unique_id
        if watched != self._watched:
            if self._watched is not None and track is not None and track in self._tracks:
                self.changed(track)  # napari tells nobody of an undo
            self._watched = watched
            self.review.set_row(row)
            self._follower.moved()

    def moved_soon(self, event: Any = None) -> None:
        """A helper's layer is active only for a moment."""
        QTimer.singleShot(0, self.moved)

    def open_looks(self) -> None:
        """Brings the looks to light; where there are none, they say why."""
        self._put_in_window(self.looks, LOOKS)

    def step(self, by: int) -> None:
        """To the next look, or the one before."""
        if self.looks.isVisible():
            self.looks.step(by)

    def leave(self) -> None:
        """The dock leaves the window: its widgets below go with it."""
        self._shown = None
        for widget in (self.review, self.looks):
            if isinstance(widget.parent(), QDockWidget):
                with suppress(LookupError, RuntimeError):  # the whole window may be closing
                    self._dock.viewer.window.remove_dock_widget(widget)
                widget.setParent(self._dock)
                widget.hide()

    # --- what bar and looks ask ----------------------------------------------------------------------------------

    def _write(self, lane: int, row: int, mask: NDArray[np.bool_]) -> int | None:
        track = self._tracks[lane]
        if track.layer not in self._dock.viewer.layers:
            return None
        if not track.show_again(row, mask):
            return int(np.count_nonzero(track.rows[row]))
        self._other.add(track)
        if row == self._dock.row() or not shows_slices(self._dock.viewer):
            self._dirty.add(lane)
        return None

    def _refresh(self) -> None:
        for lane in self._dirty:
            if self._tracks[lane].layer in self._dock.viewer.layers:
                self._tracks[lane].layer.refresh()
        self._dirty.clear()

    def _reapplied(self) -> None:
        """All slices have the new thresholds."""
        changed, self._other = self._other, set()
        for track in changed:
            self._dock.running.recount(track)
        if changed:
            self._dock.show_results()
            self._follower.moved()

    def _show_states(self) -> None:
        """What people did: which rows they painted, and which they accepted in all masks."""
        for track in self._painted & set(self._tracks):
            self.review.set_edited(self._tracks.index(track), *_painted(track))
        self._painted.clear()
        said = set.intersection(*(one.touched for one in self._tracks)) if self._tracks else set()
        self.review.set_accepted(
            [row for row in said if all(one.state(row) is not SliceState.UNSEEN for one in self._tracks)]
        )

    def _show_failed(self) -> None:
        if self._image is not None:
            self.review.set_failed(self._failed.get(self._image.unique_id, {}))

    def _on_screen(self) -> OnScreen | str:
        image, track, row = self._dock.chosen_image(), self._dock.active_track(), self._dock.row()
        if image is None or track is None:
            return "Run a prompt first, then see how the model looked."
        if row not in track.kept.rows:
            name, earlier = named(row, len(track.rows)), row in track.kept.looked
            if earlier:
                return f"How it looked at {name} on an earlier day is not kept: run it again, and its looks are shown."
            return f"The model has not looked at {name} yet: run it first."
        opened, how = open_image(image), dict(track.how[row])
        index, seed, mask = opened.plan.canonical_index(row), how.pop("seed"), track.kept.at_present(row)
        return OnScreen(opened, track.prompt.text, index, seed, mask, track.kept.thresholds, how)

    def _what_is_shown(self) -> tuple[Any, ...]:
        tracks, image = self._dock.tracks(), self._dock.chosen_image()
        return (
            None if image is None else image.unique_id,
            *((track.layer.unique_id, track.name, track.gate, len(track.rows)) for track in tracks),
        )

    # --- the window ----------------------------------------------------------------------------------------------

    def _put_in_window(self, widget: QWidget, name: str) -> None:
        """Below the canvas."""
        if not isinstance(widget.parent(), QDockWidget):
            self._dock.viewer.window.add_dock_widget(widget, name=name, area="bottom")
            self._settle(widget.parent())  # what napari returns may be wrapped
            widget.show()
        elif widget is self.looks:
            outer = widget.parent()
            outer.show()
            outer.raise_()

    def settle_looks(self) -> None:
        """However they came into the window."""
        self._settle(self.looks.parent())

    def _settle(self, outer: Any) -> None:
        """Between the docks at the sides, which keep their height; on a small screen, one at a time."""
        main, bar, looks = outer.parent(), self.review.parent(), self.looks.parent()
        if isinstance(outer, QDockWidget) and isinstance(main, QMainWindow):
            main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
            main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, outer)
            if isinstance(bar, QDockWidget) and isinstance(looks, QDockWidget):
                if main.height() < ROOMY:
                    main.tabifyDockWidget(bar, looks)
                else:
                    main.splitDockWidget(bar, looks, Qt.Orientation.Vertical)
                QTimer.singleShot(0, looks.raise_)


def how_it_looked() -> QWidget:
    """The looks for napari's menu, with the dock that asks for them. napari hands a viewer to classes only."""
    viewer = napari.current_viewer()
    docks = [one for one in viewer.window.dock_widgets.values() if hasattr(one, "bottom")]
    dock = docks[0] if docks else viewer.window.add_plugin_dock_widget(DIST, DOCK)[1]
    looks = dock.bottom.looks
    if isinstance(looks.parent(), QDockWidget):
        viewer.window.remove_dock_widget(looks)
    QTimer.singleShot(0, dock.bottom.settle_looks)  # once napari has put it somewhere
    return looks


def _painted(track: Track) -> tuple[dict[int, int], set[int]]:
    """Voxels of the slices that are a person's, and those of them that differ from what the model wrote."""
    held = {row: int(np.count_nonzero(track.rows[row])) for row in track.touched if track.belongs_to_a_person(row)}
    return held, {row for row in held if track.edited(row)}
