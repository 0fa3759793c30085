"""Layers that are no concern of a person's have no row in napari's list of layers."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

LIST = "QtLayerList"
"""What napari calls the list: it has no public name for it."""


def hide_rows(mark: str) -> None:
    """Of all layers that have `mark` in their metadata. A row keeps that however the layers are moved."""
    for window in QApplication.topLevelWidgets():
        for view in window.findChildren(QWidget):
            if type(view).__name__ == LIST:
                _hide(view, mark)


def _hide(view: Any, mark: str) -> None:
    model = view.model()
    for row in range(model.rowCount()):
        layer = model.index(row, 0).data(Qt.ItemDataRole.UserRole)
        if mark in getattr(layer, "metadata", ()):
            view.setRowHidden(row, True)
