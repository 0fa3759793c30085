"""`Progress`: a bar that paints when the window is idle. Qt's own paints at once, with all canvases of the window."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar


class Progress(QProgressBar):
    """Beside a napari canvas each of Qt's repaints takes 20 to 40 ms, and eight slices may arrive within one tick."""

    def setValue(self, value: int) -> None:  # noqa: N802 - Qt's name
        """Painted at the next turn of the event loop."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)

    def setRange(self, minimum: int, maximum: int) -> None:  # noqa: N802 - Qt's name
        """Painted at the next turn of the event loop."""
        self.setUpdatesEnabled(False)
        super().setRange(minimum, maximum)
        self.setUpdatesEnabled(True)
