"""What the engine may use: device, threads, memory for the slices it has seen; remembered."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QPushButton, QSpinBox, QWidget

if TYPE_CHECKING:
    from boltzformer.desk.settings import Settings
    from napari_boltzformer.widget import BoltzFormerDock

DEVICES = {"auto": "Automatic", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Mac)"}


class EnginePanel(QWidget):
    """A change ends the engine; the next one starts with it."""

    def __init__(self, dock: BoltzFormerDock) -> None:
        super().__init__()
        self._dock, kept = dock, dock.settings
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
        self.free.clicked.connect(self._free)

    def show_health(self, health: Mapping[str, Any]) -> None:
        """Why this device."""
        self.why.setText(health["why"])

    def _use(self) -> None:
        dock, kept = self._dock, self._dock.settings
        wanted = {"device": self.device.currentData(), "threads": self.threads.value(), "cache_gb": self.cache.value()}
        if all(getattr(kept, name) == value for name, value in wanted.items()):
            return
        if dock.desk.running.runs:
            dock.desk.notice.say("The engine is at work: cancel the run or wait for its end, then change this again.")
            return
        for name, value in wanted.items():
            setattr(kept, name, value)
        kept.save()
        dock.desk.work.do(lambda: dock.session.use(**means_of(kept)), lambda _: dock.engine_line.ask())

    def _free(self) -> None:
        dock = self._dock
        dock.desk.work.do(
            dock.session.free_memory, lambda _: dock.desk.notice.say("The engine's memory is free again.")
        )


def means_of(settings: Settings) -> dict[str, Any]:
    """As `Session.local` takes them."""
    return {
        "device": settings.device,
        "threads": settings.threads or None,
        "cache_bytes": round(settings.cache_gb * 1e9),
    }
