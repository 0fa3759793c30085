"""A run that breaks off marks the slice that was under way, and says why; a later answer takes the mark away."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gui import click, done, type_lines, until

from boltzformer import Session
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import tiny
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import History
from napari_boltzformer.widget import BoltzFormerDock

ROOM = 200_000_000
"""Bytes that the engine may take more than it has: too few for a slice of this model."""


@pytest.fixture
def greedy(viewer: Any, tmp_path: Path) -> Iterator[BoltzFormerDock]:
    """A dock whose model needs much memory for a slice."""
    path = tmp_path / "greedy.safetensors"
    checkpoint.save(path, BoltzFormer(replace(tiny(), image_size=1536)), History("greedy"))
    widget = BoltzFormerDock(viewer, Session.local(path))
    viewer.window.add_dock_widget(widget, name="Segment by text")
    yield widget
    widget.session.close()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process's memory for a test")
def test_the_slice_that_was_too_much_is_marked_with_the_reason(
    qtbot: Any, viewer: Any, greedy: BoltzFormerDock
) -> None:
    import resource

    until(qtbot, lambda: "ready" in greedy.engine.text())
    process = greedy.session.backend().process.pid
    in_use = int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    resource.prlimit(process, resource.RLIMIT_AS, (in_use + ROOM, resource.RLIM_INFINITY))
    viewer.add_image(np.zeros((5, 64, 64), np.uint8), name="five")
    greedy.jump(2)
    type_lines(qtbot, greedy, "anything")
    click(qtbot, greedy.all_slices)
    done(qtbot, greedy)
    assert "too little memory for the model 'greedy'" in greedy.message.text()
    bar = greedy.bottom.review.bar
    (failed,) = [row for row in range(5) if "could not be done" in bar.words(row)]  # the allocator decides which
    assert f"could not be done: {greedy.message.text()}" in bar.words(failed)
    greedy.desk.overview.show_tracks()
    assert "could not be done" in bar.words(failed)

    resource.prlimit(process, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    greedy.jump(failed)
    click(qtbot, greedy.this_slice)
    done(qtbot, greedy)
    assert "could not be done" not in bar.words(failed)
