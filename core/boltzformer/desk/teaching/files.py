"""`LearntFiles`: what was learnt from an image lies beside its work, and comes back with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from boltzformer.dataset import learnt
from boltzformer.desk.image import OpenImage
from boltzformer.desk.work import Work
from boltzformer.masks.lessons import Adapter


class LearntFiles:
    """Read and written beside the viewer, one after the other."""

    def __init__(self, work: Work, folders: Callable[[OpenImage], Sequence[Path]]) -> None:
        """`folders`: wherever work on an image may lie; where it is kept now is the first. With the first slice that is
        accepted that is another one than before."""
        self._work, self._folders = work, folders

    def keep(self, image: OpenImage, model: str, adapter: Adapter) -> None:
        """`model`: by which name its parent was asked."""
        here = self._folders(image)[0]
        self._work.do(partial(learnt.keep, here, image.volume, image.case or "", model, adapter), _done)

    def forget(self, image: OpenImage, prompt: str) -> None:
        """Wherever it lies: what is left in one place would be back another day."""
        for folder in self._folders(image):
            self._work.do(partial(learnt.forget, folder, image.volume, image.case or "", prompt), _done)

    def recall(self, image: OpenImage, then: Callable[[Mapping[str, tuple[str, Adapter]]], None]) -> None:
        """By prompt, with the name of the parent: what was learnt last."""
        self._work.do(partial(learnt.latest, self._folders(image), image.volume, image.case or ""), then)


def _done(_: None) -> None:
    """Nobody waits for it."""
