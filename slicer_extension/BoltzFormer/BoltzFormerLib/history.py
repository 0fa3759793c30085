"""Slicer's undo, states of a whole segmentation: who can be asked to keep one more; and what the editor forbids."""

from __future__ import annotations

from typing import Any, Protocol

import slicer


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


def settings_of(segmentation: Any) -> Any:
    """The Segment Editor's settings for this segmentation: ours first, else the editor module's."""
    scene = segmentation.GetScene()
    if scene is None:
        return None
    nodes = scene.GetNodesByClass("vtkMRMLSegmentEditorNode")
    found = [nodes.GetItemAsObject(number) for number in range(nodes.GetNumberOfItems())]
    ours = [one for one in found if one.GetSegmentationNode() is segmentation]
    return next((one for one in ours if one.GetSingletonTag() == "BoltzFormer"), ours[0] if ours else None)


def rules(editor: Any) -> bool:
    """Whether its settings keep edits off some voxels, or off other segments."""
    if editor is None:
        return False
    return bool(
        editor.GetSourceVolumeIntensityMask()
        or editor.GetMaskMode() != slicer.vtkMRMLSegmentationNode.EditAllowedEverywhere
        or editor.GetOverwriteMode() != slicer.vtkMRMLSegmentEditorNode.OverwriteNone
    )
