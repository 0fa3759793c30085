"""`Heights`: of tabs that share one place each has its own height; the one in front says how high the place is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QSizePolicy, QTabBar, QWidget


class Heights(QObject):
    """Qt makes a place as high as the highest of its tabs needs, also where that one lies behind another."""

    def __init__(self, parent: QObject, snug: Iterable[QWidget] = ()) -> None:
        """`snug`: those that have no use for more than they would like to have."""
        super().__init__(parent)
        self._snug = {*snug}
        self._front: QDockWidget | None = None
        self._known: dict[QDockWidget, int] = {}
        """As high as each was last, in front."""
        self._needs: dict[QDockWidget, tuple[int, int]] = {}
        """How high each has to be, and would like to be, as it said last."""
        self._fitted: QDockWidget | None = None
        """Who was given its height last."""
        self._given = 0
        """How high that one was then: higher than this, and than it would like to be, only a person makes it."""
        self._coming = False
        """Another tab is on its way: until it is there, nobody's height is their own."""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._fit)

    def another_comes(self) -> None:
        """Before it is in its place."""
        self._note()
        self._coming = True

    def watch(self, outer: QDockWidget) -> None:
        """One more of the tabs."""
        outer.visibilityChanged.connect(partial(self._on_visible, outer))
        widget = outer.widget()
        if widget is not None:
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """A line more in the one in front needs its room; who made it high by hand keeps it as high."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and self._front is not None:
            with suppress(RuntimeError):
                if watched is self._front.widget():
                    self._soon.start()
        return False

    def forget(self, outer: QDockWidget) -> None:
        """It is gone."""
        for told in (self._known, self._needs):
            told.pop(outer, None)
        if self._front is outer:
            self._front = None
        if self._fitted is outer:
            self._fitted = None

    def _on_visible(self, outer: QDockWidget, on: bool) -> None:
        with suppress(RuntimeError):  # the window closes
            _asks_for_room(outer, on)
            if on and self._front is not outer:
                if not self._coming:
                    self._note()
                self._front = outer
                self._soon.start()

    def _note(self) -> None:
        if self._front is not None:
            with suppress(RuntimeError):
                self._known[self._front] = self._front.height()

    def _fit(self) -> None:
        """Once Qt has found its places."""
        self._coming, front = False, self._front
        with suppress(RuntimeError):
            main = None if front is None else front.parent()
            if front is not None and isinstance(main, QMainWindow) and not front.isFloating() and front.isVisible():
                high = self._height_of(front)
                if high != front.height():
                    if high < front.minimumHeight():
                        front.setMinimumHeight(LEAST)
                    main.resizeDocks([front], [high + _tabs_above(front, main)], Qt.Orientation.Vertical)
                self._given = max(high, front.height())

    def _height_of(self, front: QDockWidget) -> int:
        """As high as it was, but as high as it needs to be; a snug one anew whenever there is more or less in it."""
        widget = front.widget() or front
        least, liked = _needs(widget, front.height() - widget.height() if widget.isVisible() else 0)
        changed, self._needs[front] = self._needs.get(front) != (least, liked), (least, liked)
        came, self._fitted = self._fitted is not front, front
        by_hand = not came and front.height() > max(self._given, liked) + SLACK
        if changed and widget in self._snug and not by_hand:
            return liked
        now = self._known.get(front, liked) if came else front.height()
        return max(now, least) if came or changed else now


def _needs(widget: QWidget, around: int) -> tuple[int, int]:
    least = widget.minimumSizeHint().height()
    return least + around, max(widget.sizeHint().height(), least) + around


def _tabs_above(outer: QDockWidget, main: QMainWindow) -> int:
    """Pixels that Qt counts with the height of a tab."""
    if not main.tabifiedDockWidgets(outer):
        return 0
    bars = (one for one in main.findChildren(QTabBar) if one.parent() is main and one.isVisible())
    named = (one for one in bars if outer.windowTitle() in {one.tabText(n) for n in range(one.count())})
    return next((one.height() for one in named), 0)


LEAST, SLACK = 50, 4
"""Pixels: napari's own least height of a dock; by which a place is higher than asked for though nobody dragged it."""


def _asks_for_room(outer: QDockWidget, on: bool) -> None:
    """Whether what lies in it says how much it needs at the least."""
    widget = outer.widget()
    if widget is not None:
        policy = widget.sizePolicy()
        policy.setVerticalPolicy(QSizePolicy.Policy.Preferred if on else QSizePolicy.Policy.Ignored)
        widget.setSizePolicy(policy)
        outer.setMinimumHeight(LEAST)  # which grows with what lies in it, and never shrinks by itself
