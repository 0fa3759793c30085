"""A run that meets a full memory takes fewer pictures at once, and remembers it."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from boltzformer.learn.finetune import Finished, Options, finetune
from boltzformer.types import Progress

pytestmark = pytest.mark.slow  # processes that load torch, one after the other

FITS = 2
"""So many pictures this memory holds while a model learns."""


@pytest.fixture
def full() -> Iterator[list[int]]:
    """Memory runs out as it does: in the middle of a forward pass. Every time is counted."""
    met: list[int] = []

    def too_much(module: torch.nn.Module, given: tuple[Any, ...]) -> None:
        image = next((one for one in given if isinstance(one, torch.Tensor)), None)
        first = isinstance(module, torch.nn.Conv2d) and module.in_channels == 3
        if image is None or image.device.type == "meta" or not first:
            return  # what is predicted without numbers takes no memory
        if torch.is_grad_enabled() and len(image) > FITS:
            met.append(len(image))
            raise MemoryError("out of memory")

    hook = register_module_forward_pre_hook(too_much)
    yield met
    hook.remove()


def test_what_fits_the_memory_is_found_once_and_kept_for_going_on(
    tmp_path: Path, data: Path, base: Path, full: list[int]
) -> None:
    options = Options(data, str(base), steps=6, batch=8, threads=1, device="cpu", replay=False)
    steps: list[int] = []

    def run(resume: bool, until: int) -> Finished:
        *_, last = (
            event
            for event in finetune(options, tmp_path / "run", resume=resume, stop=lambda: len(steps) >= until)
            if not isinstance(event, Progress) or steps.append(event.step) is None
        )
        assert isinstance(last, Finished)
        return last

    run(False, 2)
    assert full == [8, 4]
    assert json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))["micro"] == FITS
    assert run(True, 99).facts["finished"]
    assert full == [8, 4]
    assert steps == [1, 2, 3, 4, 5, 6]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").rglob("*")}
    if os.name != "nt":  # it ran in this process, whose files others may read: a run is its owner's alone all the same
        assert set(modes.values()) <= {0o700, 0o600}, modes
