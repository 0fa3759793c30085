"""Which model looks, through which window, and in which engine: named Python, device, memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from boltzformer.client import Session
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.models.choice import ModelChoice, meant, shown_name
from boltzformer.desk.models.engine import EngineLine, means_of
from boltzformer.desk.models.window import AUTO, BY_NAME, MINE, Windows
from boltzformer.protocol import ModelState
from BoltzFormerLib import install
from BoltzFormerLib.dialogs import SlicerDialogs
from BoltzFormerLib.hub import Hub
from BoltzFormerLib.pictures import PictureFile
from BoltzFormerLib.translating import tr

DEVICES = {"auto": "Automatic", "cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Mac)"}
SIDE, SAMPLES = 72, 4


class Models:
    """Everything of the part 'Model and engine'."""

    def __init__(self, ui: Any, desk: Desk, windows: Windows, again: Callable[[], Session]) -> None:
        """`again`: another session, with what the settings say by now; the one before ends."""
        self._ui, self._desk, self.windows, self._again = ui, desk, windows, again
        self._names: list[str] = []
        self.picture = PictureFile(ui.windowPicture)
        self._to_show = False
        """The window that was chosen just now is to be seen in the views as well."""
        parts = desk.session, desk.work, desk.notice
        settings = desk.settings
        self.choosing = ModelChoice(*parts, settings)
        self.hub = Hub(ui, desk, self.choosing.load)
        self.engine = EngineLine(
            *parts,
            desk.timers,
            missing=lambda: install.engine_is_missing(settings.python),
            base=install.system_python,
        )
        self.engine.said.append(self._say)
        self.engine.models.append(self.show_models)
        self.choosing.loaded.append(self.engine.ask)
        desk.running.paced.append(self.engine.paced)
        self._fill()
        self._connect()

    def want(self, name: str) -> None:
        """By the name that is shown."""
        self.choosing.load(meant(name, self._names), again=True)

    def show_models(self, states: list[ModelState]) -> None:
        self._names = [one.name for one in states]
        self._ui.modelSelector.clear()
        for one in states:
            self._ui.modelSelector.addItem(shown_name(one.name))
        own = self._desk.session().model
        self._ui.modelSelector.currentIndex = self._names.index(own) if own in self._names else -1

    def show_picture(self) -> None:
        """Of the slice on screen, while somebody can see it."""
        self.show_choice()
        image = self._desk.stage.chosen()
        if image is not None and not self._ui.modelButton.collapsed:
            then = partial(self._draw, self._to_show)
            self.windows.picture(image, self._desk.stage.row(image), self._desk.work, then)

    def leave(self) -> None:
        self.engine.leave()
        self.hub.leave()
        self.picture.leave()

    def _say(self, text: str, details: str) -> None:
        self._ui.engineLabel.text, self._ui.engineLabel.toolTip = text, details

    def _draw(self, to_show: bool, picture: Any, window: Any) -> None:
        image = self._desk.stage.chosen()
        if to_show and image is not None:
            self._to_show = False
            show_window(image, window.low, window.high)
        small = Image.fromarray(np.ascontiguousarray(picture))
        small.thumbnail((SIDE, SIDE))
        self.picture.show(np.asarray(small))
        self._ui.windowPicture.toolTip = tr("{kind}: {low} to {high}").format(
            kind=window.kind, low=f"{window.low:g}", high=f"{window.high:g}"
        )

    def _fill(self) -> None:
        ui, settings = self._ui, self._desk.settings
        for name in BY_NAME:
            ui.windowSelector.addItem(name)
        for shown in DEVICES.values():
            ui.deviceSelector.addItem(shown)
        ui.deviceSelector.currentIndex = list(DEVICES).index(settings.device) if settings.device in DEVICES else 0
        ui.pythonLabel.text = settings.python or tr("its own environment")
        ui.unsureBox.checked = settings.samples > 1

    def _connect(self) -> None:
        ui = self._ui
        ui.modelSelector.connect("activated(int)", lambda at: self.choosing.load(self._names[at]))
        ui.modelFileButton.connect("clicked()", self._on_file)
        ui.windowSelector.connect("activated(int)", self._on_window)
        ui.contrastButton.connect("clicked()", self._use_contrast)
        ui.deviceSelector.connect("activated(int)", self._on_device)
        ui.memoryButton.connect("clicked()", self._free)
        ui.pythonButton.connect("clicked()", self._on_python)
        ui.unsureBox.connect("toggled(bool)", self._on_unsure)
        ui.modelButton.connect("contentsCollapsed(bool)", lambda _: self.show_picture())

    def _on_file(self) -> None:
        path = SlicerDialogs().open(tr("A model"), tr("Models (*.safetensors)"))
        if path is not None:
            self.choosing.import_file(path)

    def _on_window(self, at: int) -> None:
        image = self._desk.stage.chosen()
        if image is not None:
            self.windows.choose(BY_NAME[at] if at < len(BY_NAME) else MINE, image)
            self._to_show = True
        self.show_picture()

    def show_choice(self) -> None:
        """Of the volume that is looked at now."""
        image, ui = self._desk.stage.chosen(), self._ui
        how = AUTO if image is None else self.windows.choice(image)
        if how == MINE and ui.windowSelector.findText(MINE) < 0:
            ui.windowSelector.addItem(MINE)
        ui.windowSelector.currentIndex = len(BY_NAME) if how == MINE else BY_NAME.index(how)

    def _use_contrast(self) -> None:
        image = self._desk.stage.chosen()
        if image is not None:
            self.windows.take_contrast(image)
            self.show_picture()

    def _on_device(self, at: int) -> None:
        settings, device = self._desk.settings, list(DEVICES)[at]
        if device == settings.device:
            return
        if self._desk.running.runs:
            said = tr("The engine is at work: cancel the run or wait for its end, then change this again.")
            self._desk.notice.say(said)
            return
        settings.device = device
        settings.save()
        session, means = self._desk.session(), means_of(settings)
        self._desk.work.do(lambda: session.use(**means), lambda _: self.engine.ask())

    def _free(self) -> None:
        said = tr("The engine's memory is free again.")
        self._desk.work.do(self._desk.session().free_memory, lambda _: self._desk.notice.say(said))

    def _on_python(self) -> None:
        path = SlicerDialogs().open(tr("A Python that has napari-boltzformer[engine]"), "")
        if path is not None:
            self._desk.settings.python = str(path)
            self._desk.settings.save()
            self._ui.pythonLabel.text = str(path)
            self._again()
            self.engine.ask()

    def _on_unsure(self, on: bool) -> None:
        self._desk.settings.samples = SAMPLES if on else 1
        self._desk.settings.save()


def contrast_of(image: OpenImage) -> tuple[float, float]:
    """What Slicer shows black and white."""
    display = image.node.GetDisplayNode()  # type: ignore[attr-defined]
    if display is None:
        return 0.0, 1.0
    return float(display.GetWindowLevelMin()), float(display.GetWindowLevelMax())


def show_window(image: OpenImage, low: float, high: float) -> None:
    """As a preset of Slicer's own does; a volume in colour has none."""
    display = image.node.GetDisplayNode()  # type: ignore[attr-defined]
    if display is not None and display.IsA("vtkMRMLScalarVolumeDisplayNode"):
        display.SetAutoWindowLevel(False)
        display.SetWindowLevelMinMax(low, high)
