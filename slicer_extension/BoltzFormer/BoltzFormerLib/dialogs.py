"""Questions to the user, as Qt asks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import qt
import slicer


class SlicerDialogs:
    """Few: what can be said in the panel is said there."""

    def folder(self, title: str) -> Path | None:
        path = qt.QFileDialog.getExistingDirectory(_window(), title, "")
        return Path(str(path)) if path else None

    def choose(self, title: str, lines: Sequence[str]) -> int | None:
        """Which of them. Of a question that is cancelled Qt tells the line that it stood at, and PythonQt no more than
        that: so it stands at none of them."""
        chosen = qt.QInputDialog.getItem(_window(), title, "", ["…", *lines], 0, False)
        return lines.index(str(chosen)) if str(chosen) in lines else None

    def save_as(self, title: str, suggested: str, kinds: str) -> Path | None:
        """The dialog itself asks before it names a file that is there."""
        path = qt.QFileDialog.getSaveFileName(_window(), title, suggested, kinds)
        return Path(str(path)) if path else None

    def open(self, title: str, kinds: str) -> Path | None:
        """A file that is there."""
        path = qt.QFileDialog.getOpenFileName(_window(), title, "", kinds)
        return Path(str(path)) if path else None

    def ask(self, question: str, details: str, yes: str, then: Callable[[bool], None]) -> None:
        """Slicer's own question waits for its answer; so does everything else."""
        then(bool(slicer.util.confirmOkCancelDisplay(question, windowTitle=f"{yes}?", detailedText=details)))


def _window() -> object:
    return slicer.util.mainWindow()
