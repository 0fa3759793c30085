"""For whoever has the application: `make slicer-run-tests SLICER=/path/to/Slicer`. Says what passed, and ends Slicer.

It needs an engine: set up by the panel's button before, or named by BOLTZFORMER_TEST_PYTHON. We have never run this
ourselves, for the application can't be installed where we test; please tell us what it says.
"""

from __future__ import annotations

import os
import sys
import traceback
import unittest
from typing import Any

import slicer


class InTheApplication(unittest.TestCase):
    """What only the application has: module discovery, PythonQt, its own widgets, effects and undo."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def module(self) -> Any:
        """The widget, as a user opens it."""
        slicer.util.selectModule("BoltzFormer")
        return slicer.modules.boltzformer.widgetRepresentation().self()

    def test_the_module_is_found_and_its_panel_is_built(self) -> None:
        widget = self.module()
        self.assertTrue(widget.ui.findButton.visible)
        self.assertIsNotNone(widget.panel, widget.ui.noticeLabel.text)

    def test_what_is_typed_reaches_the_parameters_and_buttons_follow(self) -> None:
        panel = self.module().panel
        panel.ui.promptEdit.setPlainText("MS lesion in brain MRI")
        self.assertEqual(panel.parameters.prompts(), ["MS lesion in brain MRI"])
        self.assertFalse(panel.ui.cancelButton.enabled)

    def test_the_example_gets_a_mask_by_the_logic(self) -> None:
        import BoltzFormer
        from BoltzFormerLib.example import open_example

        stage = self.module().panel.stage
        image, row, prompt = open_example(stage)
        logic = BoltzFormer.BoltzFormerLogic()
        try:
            python = os.environ.get("BOLTZFORMER_TEST_PYTHON", "")
            node = logic.segment(image.node, prompt, slices=[image.plan.canonical_index(row)], python=python)
        finally:
            logic.close()
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 1)

    def test_undo_of_the_embedded_editor_leaves_the_models_slices(self) -> None:
        panel = self.module().panel
        import numpy as np

        from boltzformer.types import Prompt

        volume = slicer.util.addVolumeFromArray(np.zeros((6, 32, 32), np.int16))
        panel._choose(volume, None)
        track = panel.desk.tracks.new(panel.stage.chosen(), Prompt("thing"))
        panel.stage.activate(track.surface)
        mask = np.zeros(track.shape[1:], bool)
        mask[4:9, 4:9] = True
        track.change(1, mask)
        track.put(2, mask)
        panel.ui.segmentEditor.undo()
        slicer.app.processEvents()
        self.assertFalse(track.row(1).any())
        self.assertTrue(np.array_equal(track.row(2) > 0, mask))


def main() -> int:
    """0: all passed."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(InTheApplication)
    return 0 if unittest.TextTestRunner(sys.stderr, verbosity=2).run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    try:
        code = main()
    except Exception:  # Slicer would stay open
        traceback.print_exc()
        code = 1
    slicer.util.exit(code)
