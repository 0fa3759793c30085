"""Slicer's undo: states of a whole segmentation. Who keeps them, and who can be asked to keep one more."""

from __future__ import annotations

from typing import Any, Protocol


class History(Protocol):
    """Where the user's Undo and Redo go."""

    def save(self) -> None:
        """The segmentation as it is becomes what the next undo brings back."""
        ...


class NoHistory:
    """A script's: nobody undoes."""

    def save(self) -> None:
        """Nothing is kept."""


class LogicHistory:
    """Of a Segment Editor logic, which is there without a window, too."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def save(self) -> None:
        self._logic.SaveStateForUndo()


class EditorHistory:
    """Of the embedded Segment Editor, whose buttons the user presses."""

    def __init__(self, editor: Any) -> None:
        self._editor = editor

    def save(self) -> None:
        self._editor.saveStateForUndo()
