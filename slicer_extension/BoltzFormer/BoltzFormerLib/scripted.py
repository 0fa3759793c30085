"""`Segmenting`: one run without the panel, for scripts and notebooks: started, asked now and then, or waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from boltzformer.client import Session
from boltzformer.desk.masks.tracks import Tracks
from boltzformer.desk.memory import MemorySpeaker, MemoryTimers
from boltzformer.desk.models.knowledge import Knowledge, named_apart
from boltzformer.desk.notice import Notice
from boltzformer.desk.runs.running import Running
from boltzformer.desk.settings import Settings
from boltzformer.errors import BoltzFormerError
from BoltzFormerLib.history import NoHistory
from BoltzFormerLib.stage import SlicerStage
from BoltzFormerLib.translating import tr
from BoltzFormerLib.words import SLICER

ASK_S = 0.02
"""Between two looks at what has come."""


class Segmenting:
    """It writes when it is polled, on the thread that polls it: MRML knows no other."""

    def __init__(
        self,
        volume: Any,
        prompts: Sequence[str],
        segmentation: Any,
        session: Session,
        *,
        seed: int = 0,
        slices: Sequence[int] | None = None,
        window: Any = None,
    ) -> None:
        """`slices`: their stored numbers; None: all. `window`: as `Session.segment` takes it."""
        if volume is None or not volume.IsA("vtkMRMLScalarVolumeNode"):
            raise BoltzFormerError(tr("There is no volume to look at: give a scalar volume node."))
        wanted = named_apart([text for text in prompts if text.strip()])
        if not wanted:
            raise BoltzFormerError(tr("There is no prompt: say what to look for, e.g. 'MS lesion in brain MRI'."))
        self.segmentation = segmentation
        self._session = session
        self._speaker, self._timers = MemorySpeaker(), MemoryTimers()
        self._stage = SlicerStage(
            volume.GetScene(),
            lambda: volume,
            history=NoHistory(),
            target=lambda: self.segmentation,
            chosen=self._made,
        )
        self._image = self._stage.image_of(volume)
        self._tracks = Tracks(self._stage)
        self._running = Running(
            *(self._stage, self._tracks, Notice(self._speaker), self._timers, Settings(), SLICER),
            session=lambda: session,
            knowledge=Knowledge,
            how=lambda _: {},
        )
        how = {"seed": seed, "window": window, "model": session.model}
        job = session.segment(self._image.volume, wanted, slices=slices, **how)
        self._run = self._running.new(self._image, wanted, job, how, warnings={}, whole=slices is None)
        self._running.follow(self._run)

    @property
    def done(self) -> bool:
        """It has ended, however that was."""
        return not self._running.runs

    @property
    def progress(self) -> tuple[int, int]:
        """So many slices, of how many."""
        return self._run.done, self._run.total

    @property
    def sentence(self) -> str:
        """How far it is, how it went, or what went wrong."""
        return self._speaker.sentence

    @property
    def segments(self) -> dict[str, str]:
        """By prompt: the id of its segment."""
        return {track.prompt.text: track.surface.segment for track in self._tracks.of(self._image)}

    def poll(self) -> bool:
        """Takes what has come → whether it has ended."""
        if self._image.node.GetScene() is None:
            self.cancel()
        self._timers.tick()
        if self.done:
            self._stage.ended()
        return self.done

    def wait(self) -> Any:
        """To the end → the segmentation node; raises what went wrong. The application stands still meanwhile."""
        while not self.poll():
            time.sleep(ASK_S)
        if self._speaker.failed:
            raise BoltzFormerError(self._speaker.sentence)
        return self.segmentation

    def cancel(self) -> None:
        """After the slice in hand; what was finished stays."""
        self._run.job.cancel()

    def _made(self, volume: Any, segmentation: Any) -> None:
        self.segmentation = segmentation or self.segmentation
