"""A person at the panel: the imitation's widgets, a scene with three slice views, clicks, and patience."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pythonqt
import slicer
from PySide6 import QtCore, QtTest, QtWidgets
from scenes import ENGINE, MODULE, PHANTOM_MODEL, opened_scene, shown_in, slice_view

from boltzformer.desk.settings import Settings
from boltzformer.io.phantom import Phantom

pythonqt.install()
PATIENCE_S = 120
"""The machine may be busy."""


class Person:
    """At one panel, in one scene."""

    def __init__(self, scene: Any) -> None:
        if str(MODULE) not in sys.path:
            sys.path.insert(0, str(MODULE))
        import BoltzFormer

        self.scene = scene
        self.views = [
            slice_view(scene, *one) for one in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
        ]
        self.window = QtWidgets.QWidget()
        QtWidgets.QVBoxLayout(self.window)
        self.module = BoltzFormer.BoltzFormerWidget(pythonqt.Held(self.window))
        self.module.setup()
        self.window.resize(460, 900)
        self.window.show()
        self.ui, self.panel = self.module.ui, self.module.panel
        self.editor = self.ui.segmentEditor.what.logic

    def opens(self, volume: Any) -> Any:
        """A volume node, in all views, chosen."""
        node = slicer.util.addVolumeFromArray(
            np.ascontiguousarray(volume.array), ijkToRAS=volume.grid.ras, name=volume.name
        )
        node.CreateDefaultDisplayNodes()
        shown_in(self.scene, node)
        self.ui.inputSelector.setCurrentNode(node)
        image = self.panel.stage.chosen()
        self.panel.stage.go(image, image.count // 2)
        self.idle()
        return image

    def types(self, *lines: str) -> None:
        self.ui.promptEdit.setPlainText("\n".join(lines))

    def clicks(self, button: Any) -> None:
        """Only what can be pressed: it is opened where it lies in a closed part."""
        what = button.what
        parent = what.parentWidget()
        while parent is not None:
            if isinstance(parent, pythonqt.ctkCollapsibleButton):
                parent.setProperty("collapsed", False)
            parent = parent.parentWidget()
        assert what.isEnabled(), f"'{what.text()}' can't be pressed now: {self.said}"
        QtTest.QTest.mouseClick(what, QtCore.Qt.LeftButton)

    def picks(self, items: Any, row: int) -> None:
        """A line of a list."""
        items.what.setCurrentRow(row)
        items.what.itemClicked.emit(items.what.item(row))

    @property
    def said(self) -> str:
        return self.ui.noticeLabel.text

    def until(self, what: Callable[[], Any], patience_s: float = PATIENCE_S) -> None:
        """The application goes on."""
        end = time.monotonic() + patience_s
        while not what():
            if pythonqt.FAILED:
                raise pythonqt.FAILED[0]
            assert time.monotonic() < end, (
                f"it never came to that; last said: {self.said} {self.ui.teachNoticeLabel.text}"
            )
            QtTest.QTest.qWait(10)

    def offered(self, beginning: str, box: Any = None) -> dict[str, Any]:
        """The answers to an offer that begins so, by their words; empty where there is none."""
        box = (box or self.ui.offersBox).what
        for line in box.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            if line.isHidden() or not line.findChild(QtWidgets.QLabel).text().startswith(beginning):
                continue
            return {one.text(): pythonqt.Held(one) for one in line.findChildren(QtWidgets.QPushButton)}
        return {}

    def idle(self) -> None:
        desk = self.panel.desk
        self.until(lambda: not (desk.running.runs or desk.keeper.work.busy or desk.work.busy))
        QtTest.QTest.qWait(80)

    def strokes(self, track: Any, row: int, rows: slice, columns: slice, *, erase: bool = False) -> None:
        """With the Segment Editor, in a slice as it is seen."""
        surface = track.surface
        self.editor.SetSegmentationNode(surface.node)
        self.editor.SaveStateForUndo()
        where = np.zeros(track.shape, bool)
        where[row, rows, columns] = True
        modifier = surface._image(dict(enumerate(where)), 1)
        mode = self.editor.ModificationModeRemove if erase else self.editor.ModificationModeAdd
        self.editor.ModifySegmentByLabelmap(surface.node, surface.segment, modifier, mode, False, False)

    def photographs(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.window.grab().save(str(path))

    def finds(self, phantom: Phantom, *prompts: str, slices: bool = False) -> tuple[Any, list[Any]]:
        """A phantom's image with masks of the prompts, of its slice with a finding or of all."""
        image = self.opens(phantom.volume)
        self.types(*prompts)
        self.panel.stage.go(image, phantom.lesions[0].centre[2])
        self.clicks(self.ui.allSlicesButton if slices else self.ui.thisSliceButton)
        self.until(lambda: self.panel.desk.running.runs)
        self.idle()
        return image, self.panel.desk.tracks.chosen()

    def leaves(self) -> None:
        self.module.cleanup()
        self.window.close()


@contextmanager
def somebody(*, engine: str = ENGINE, model: str = str(PHANTOM_MODEL)) -> Iterator[Person]:
    """In a scene of their own; the engine's Python is one that they named."""
    Settings(model=model, python=engine, folder=Settings.load().folder).save()
    with opened_scene() as scene:
        person = Person(scene)
        pythonqt.FAILED.clear()
        try:
            yield person
        finally:
            person.leaves()
        assert not pythonqt.FAILED
