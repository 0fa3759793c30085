"""BoltzFormer in 3D Slicer: type what you look for, get a mask you can trust, correct, keep and teach from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from BoltzFormerLib import install

RESEARCH = "Research only, not for clinical use"


class BoltzFormer(ScriptedLoadableModule):
    """What the application's list of modules says."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("BoltzFormer")
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["The napari-boltzformer developers"]
        parent.helpText = _(
            "Type what you look for and get masks slice by slice, see how the model looked, correct without loss, keep "
            "what you accept and teach the model from it. The model runs in a process of its own on this computer; "
            "no image leaves it unless you name another one. {research}."
        ).format(research=RESEARCH)
        parent.acknowledgementText = _(
            "The method is BoltzFormer (CVPR 2025). Weights have licences of their own, shown before they are fetched."
        )
        slicer.app.connect("startupCompleted()", register_sample)


class BoltzFormerWidget(ScriptedLoadableModuleWidget):
    """Loads the form and hands it to the panel, once everything that the panel needs is there."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        self.panel: Any = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/BoltzFormer.ui"))
        self.layout.addWidget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        if old := install.too_old(slicer.app.majorVersion, slicer.app.minorVersion):
            self._enable(False)
            self.ui.noticeLabel.text = old
        elif install.missing():
            self._offer()
        else:
            self._build()

    def enter(self) -> None:
        if self.panel is not None:
            self.panel.enter(slicer.util.mainWindow())

    def exit(self) -> None:
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        if self.panel is not None:
            self.panel.leave()
            self.panel = None

    def _build(self) -> None:
        from BoltzFormerLib.panel import Panel

        self.panel = Panel(self.ui, slicer.mrmlScene)

    def _offer(self) -> None:
        """Nothing is installed before somebody presses the button and agrees."""
        self._enable(False)
        self.ui.noticeLabel.text = _(
            "BoltzFormer needs Python packages that this Slicer lacks ({names}): {size}. Slicer's own numpy, SimpleITK "
            "and vtk stay as they are."
        ).format(names=", ".join(install.missing()), size=install.SIZE)
        self.ui.noticeButton.text = _("Install…")
        self.ui.copyButton.visible = self.ui.reportButton.visible = False
        self.ui.noticeButton.connect("clicked()", self._install)

    def _install(self) -> None:
        if self.panel is not None:
            return
        try:
            done = install.ask_and_install(slicer.util.confirmOkCancelDisplay)
        except Exception as error:  # whatever pip says, the panel stays
            logging.getLogger("BoltzFormer").warning("%s", error)
            self.ui.noticeLabel.text = _(
                "That could not be installed ({why}): check the network, then try again."
            ).format(why=error)
            return
        if done:
            self._enable(True)
            self._build()
            self.enter()

    def _enable(self, on: bool) -> None:
        for part in (self.ui.findButton, self.ui.correctButton, self.ui.teachButton, self.ui.keepButton):
            part.enabled = on


class BoltzFormerLogic(ScriptedLoadableModuleLogic):
    """For scripts: needs no window."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._session: Any = None

    def segment(
        self,
        volumeNode: Any,
        prompts: str | Sequence[str],
        segmentationNode: Any = None,
        *,
        model: str = "default",
        seed: int = 0,
        slices: Sequence[int] | None = None,
        window: Any = None,
        python: str = "",
        wait: bool = True,
    ) -> Any:
        """Masks of the prompts as segments → the segmentation node.

        `slices`: stored numbers of those to look at; None: all. `python`: an interpreter that has the engine, else the
        environment that the panel set up. Without `wait` a `Segmenting` comes back at once: call its `poll()` from
        time to time (a QTimer does), until it says True; `wait()`, `cancel()`, `sentence`, `segments` are there, too.
        """
        from BoltzFormerLib.scripted import Segmenting

        texts = [prompts] if isinstance(prompts, str) else list(prompts)
        running = Segmenting(
            *(volumeNode, texts, segmentationNode, self._asked(model, python)), seed=seed, slices=slices, window=window
        )
        return running.wait() if wait else running

    def close(self) -> None:
        """Ends the engine; the next call starts another one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _asked(self, model: str, python: str) -> Any:
        from boltzformer.client import Session

        path = python or install.engine_python("")
        if self._session is None or (self._session.model, self._python) != (model, path):
            self.close()
            self._session, self._python = Session.local(model, path), path
        return self._session


class BoltzFormerTest(ScriptedLoadableModuleTest):
    """What can be tested inside of the application, without a person: `make slicer-run-tests`."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_the_example_gets_a_mask()

    def test_the_example_gets_a_mask(self) -> None:
        """By the logic alone, with the engine that is set up."""
        from BoltzFormerLib.example import open_example
        from BoltzFormerLib.history import NoHistory
        from BoltzFormerLib.stage import SlicerStage

        stage = SlicerStage(slicer.mrmlScene, lambda: None, history=NoHistory())
        image, row, prompt = open_example(stage)
        logic = BoltzFormerLogic()
        try:
            node = logic.segment(image.node, prompt, slices=[image.plan.canonical_index(row)])
        finally:
            logic.close()
        assert node.GetSegmentation().GetNumberOfSegments() == 1


def register_sample() -> None:
    """In the module Sample Data, once the application is up; the file comes with the package."""
    if install.missing():
        return
    import SampleData

    from BoltzFormerLib.example import folder

    image = next(iter(sorted(folder().glob("*.nii*"))), None)
    if image is not None:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="BoltzFormer",
            sampleName="MS lesions (FLAIR)",
            uris=Path(image).as_uri(),
            fileNames=image.name,
            nodeNames="BoltzFormer example",
            thumbnailFileName=str(Path(__file__).parent / "Resources" / "Icons" / "BoltzFormer.png"),
        )
