"""What the engine may use: device, threads, memory for the slices it has seen; remembered."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QPushButton, QSpinBox, QWidget

from boltzformer import Session
from boltzformer.desk.models.engine import means_of
from boltzformer.desk.notice import Notice
from boltzformer.desk.settings import Settings
from boltzformer.desk.work import Work
from napari_boltzformer.host import preferences

TYPING_MS = 400
"""A number that is being typed in napari's preferences changes with each digit; an engine is not started for each."""
MEETING_MS = 200
"""napari looks through all plugins before it says its preferences: the dock is on screen by then."""
DEVICES = {"auto": "Automatic", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Mac)"}


class EnginePanel(QWidget):
    """A change ends the engine; the next one starts with it."""

    def __init__(
        self,
        session: Callable[[], Session],
        work: Work,
        notice: Notice,
        settings: Settings,
        busy: Callable[[], bool],
        start: Callable[[], None],
    ) -> None:
        """`busy`: it is at work, and must not end now; `start`: begins another one, and says how it is."""
        super().__init__()
        self._session, self._work, self._notice, self._settings = session, work, notice, settings
        self._busy, self._start = busy, start
        kept = settings
        self.device, self.threads, self.cache = QComboBox(), QSpinBox(), QDoubleSpinBox()
        self.free, self.why = QPushButton("Free memory"), QLabel()
        for name, shown in DEVICES.items():
            self.device.addItem(shown, name)
        self.device.setCurrentIndex(max(0, self.device.findData(kept.device)))
        self.threads.setRange(0, os.cpu_count() or 1)
        self.threads.setSpecialValueText("all cores but one")
        self.threads.setValue(kept.threads)
        self.cache.setRange(0, 64)
        self.cache.setSingleStep(0.5)
        self.cache.setSuffix(" GB")
        self.cache.setToolTip("For slices that the model has seen: another prompt on them is quick.")
        self.cache.setValue(kept.cache_gb)
        self.why.setWordWrap(True)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        for name, field in (("Device", self.device), ("Threads", self.threads), ("Keep slices", self.cache)):
            form.addRow(name, field)
        form.addRow(self.why)
        form.addRow(self.free)
        self.device.activated.connect(lambda _: self._use())
        self.threads.editingFinished.connect(self._use)
        self.cache.editingFinished.connect(self._use)
        self.free.clicked.connect(lambda _=False: self._free())
        self._typed = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typed.timeout.connect(self._take)
        self._meeting = QTimer(self, singleShot=True, interval=MEETING_MS)
        self._meeting.timeout.connect(self._meet)
        self._meeting.start()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Nothing is changed here before the preferences were asked."""
        if self._meeting.isActive():
            self._meeting.stop()
            self._meet()
        super().showEvent(event)

    def show_health(self, health: Mapping[str, Any]) -> None:
        """Why this device."""
        self.why.setText(health["why"])

    def _preferred(self, _: object = None) -> None:
        self._typed.start()

    def _meet(self) -> None:
        """What was said in napari's preferences while no dock was there to hear it."""
        preferences.listen(self._preferred)
        if preferences.met(self._settings):
            self._take()

    def _take(self) -> None:
        """What napari's preferences say, as if it had been chosen here."""
        said = preferences.said()
        self.device.setCurrentIndex(self.device.findData(said["device"]))
        self.threads.setValue(said["threads"])
        self.cache.setValue(said["cache_gb"])
        self._use()
        preferences.tell(self._settings)  # more threads than this computer has, or the engine was at work

    def _use(self) -> None:
        kept = self._settings
        wanted = {"device": self.device.currentData(), "threads": self.threads.value(), "cache_gb": self.cache.value()}
        if all(getattr(kept, name) == value for name, value in wanted.items()):
            return
        if self._busy():
            self._notice.say("The engine is at work: cancel the run or wait for its end, then change this again.")
            return
        for name, value in wanted.items():
            setattr(kept, name, value)
        kept.save()
        preferences.tell(kept)
        session, means = self._session(), means_of(kept)
        self._work.do(lambda: session.use(**means), lambda _: self._start())

    def _free(self) -> None:
        said = "The engine's memory is free again."
        self._work.do(self._session().free_memory, lambda _: self._notice.say(said))
