"""`Bottom`: what lies below the canvas: the slice bar of the chosen image, how the model looked, the table."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import napari
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QTabWidget, QWidget

from boltzformer.desk.desk import Desk
from boltzformer.errors import BoltzFormerError
from napari_boltzformer.bottom.filling import FillSlider
from napari_boltzformer.bottom.heights import Heights
from napari_boltzformer.bottom.looks_view import LooksView
from napari_boltzformer.bottom.size_filter import SizeFilter
from napari_boltzformer.bottom.slice_bar import SliceReview
from napari_boltzformer.host.fitting import Fitting
from napari_boltzformer.host.layers import edges_on_slider, other_plane, shows_slices
from napari_boltzformer.host.on_screen import OnScreen
from napari_boltzformer.host.stage import NapariStage

DIST, DOCK = "napari-boltzformer", "Segment by text"
SLICES, PICTURE, LOOKS = "Slices", "Thresholds", "How it looked"


class Bottom(QObject):
    """Bar and looks appear when there is something to show."""

    def __init__(self, parent: QWidget, desk: Desk, stage: NapariStage) -> None:
        super().__init__(parent)
        self._desk, self._stage, self.fitting = desk, stage, Fitting(parent, stage.viewer)
        self.on_screen = OnScreen(parent)
        self.fitting.moved.append(self._line_up)
        stage.fitted.append(self.fitting.follow)
        stage.going.append(self.fitting.hold_still)
        self.review = SliceReview(desk.overview.reapplying)
        self.sizes = SizeFilter(desk.overview.reapplying, desk.sizes)
        self.fill = FillSlider(desk)
        for place, widget in enumerate((self.sizes, self.fill), 2):
            self.review.layout().insertWidget(place, widget)
        self.review.jumped.connect(self._jump)
        self.review.placed.connect(self._line_up)
        self.looks = LooksView()
        for widget in (self.review, self.looks):
            widget.setParent(parent)  # until it gets a place of its own in the window
            widget.hide()
        self._outers: list[QDockWidget] = []
        """Tabs of the one place below the canvas."""
        self._heights = Heights(self, [self.review])
        desk.overview.shown.append(self._show_slices)
        for heard in (self._fit_image, self.fitting.look_again):
            desk.changed.append(heard)

    def watch(self, window: QWidget) -> None:
        """The dock has come to light in it."""
        self.fitting.watch(window)
        self.on_screen.watch(window)

    def _line_up(self) -> None:
        """Below napari's slider, which says the same of the slice on screen; below that of another plane the bar says
        whose slices it shows."""
        image, viewer = self._stage.chosen(), self._stage.viewer
        plane = "" if image is None else other_plane(viewer, image.layer)
        self.review.bar.stand_alone(f"{plane} slices: click one to go there" if plane else "")
        if plane or not self.review.isVisible():
            return
        among = image is not None and image.layer.ndim == 3 and shows_slices(viewer)
        edges = edges_on_slider(viewer, image.layer) if image is not None and among else None
        if (ends := self.fitting.slider(self.review.bar, edges)) is not None:
            self.review.bar.line_up(*ends)

    def look_soon(self, event: Any = None) -> None:
        """A helper's layer is active only for a moment."""
        QTimer.singleShot(0, self._look)  # of a QObject: it is not called any more once the dock is gone

    def _look(self) -> None:
        self._desk.overview.look()

    def open_looks(self) -> None:
        """Brings the looks to light; where there are none, they say why."""
        self.show(self.looks, LOOKS)

    def step(self, by: int) -> None:
        """To the next look, or the one before."""
        if self.looks.visible:
            self.looks.step(by)

    def _show_slices(self) -> None:
        """Once, when there is something to show: afterwards it stays where the user has it."""
        image = self._stage.chosen()
        if image is not None:
            self._fit_image()
            if not isinstance(self.review.parent(), QDockWidget):
                self.show(self.review, PICTURE if image.is_picture else SLICES)

    def _fit_image(self) -> None:
        """A picture has no slices to go through; its thresholds and sizes are chosen all the same."""
        image = self._stage.chosen()
        with suppress(BoltzFormerError):  # running says why
            picture = image is not None and image.is_picture
            self.review.bar.setVisible(not picture)
            rename(self.review, PICTURE if picture else SLICES)

    def leave(self) -> None:
        """The dock leaves the window: its widgets below go with it."""
        for widget in (self.review, self.looks):
            if isinstance(widget.parent(), QDockWidget):
                with suppress(LookupError, RuntimeError):  # the whole window may be closing
                    self._stage.viewer.window.remove_dock_widget(widget)
                widget.setParent(self.parent())
                widget.hide()

    def _jump(self, row: int) -> None:
        image = self._stage.chosen()
        if image is not None:
            self._stage.go(image, row)

    # --- the window ----------------------------------------------------------------------------------------------

    def show(self, widget: QWidget, name: str) -> None:
        """Below the canvas, as a tab beside the others; brought to light if it is there already."""
        if not isinstance(widget.parent(), QDockWidget):
            self.on_screen.keep()
            self._heights.another_comes()
            self._stage.viewer.window.add_dock_widget(widget, name=name, area="bottom")
            self._settle(widget.parent())  # what napari returns may be wrapped
            widget.show()
        else:
            rename(widget, name)
            widget.parent().show()
            widget.parent().raise_()

    def settle_looks(self) -> None:
        """However they came into the window."""
        self._settle(self.looks.parent())

    def _settle(self, outer: Any) -> None:
        """One place for all, between the docks at the sides, which keep their height."""
        main = outer.parent()
        if not isinstance(outer, QDockWidget) or not isinstance(main, QMainWindow):
            return
        main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        main.setTabPosition(Qt.DockWidgetArea.BottomDockWidgetArea, QTabWidget.TabPosition.North)
        main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, outer)
        others = [one for one in self._outers if one is not outer and one.parent() is main]
        if others:
            main.tabifyDockWidget(others[0], outer)
        if outer not in self._outers:
            self._outers.append(outer)
            self._heights.watch(outer)
            if outer is self.looks.parent():
                outer.visibilityChanged.connect(self.looks.come_to_front)
            outer.destroyed.connect(lambda _=None, outer=outer: self._forget(outer))
        QTimer.singleShot(0, outer.raise_)

    def _forget(self, outer: QDockWidget) -> None:
        self._outers = [one for one in self._outers if one is not outer]
        self._heights.forget(outer)


def rename(widget: QWidget, name: str) -> None:
    """Its tab, and the bar above it, of which napari writes the title once."""
    outer = widget.parent()
    if isinstance(outer, QDockWidget) and outer.windowTitle() != name:
        outer.setWindowTitle(name)
        if hasattr(outer, "name"):
            outer.name = name
        title = getattr(outer.titleBarWidget(), "title", None)
        if isinstance(title, QLabel):
            title.setText(name)


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
