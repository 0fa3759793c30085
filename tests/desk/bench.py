"""A desk without a window and without an engine: answers are put into it as a model would have given them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from patience import until

from boltzformer import Grid, Prompt, Session, SliceResult, Volume
from boltzformer.desk.desk import Desk
from boltzformer.desk.image import OpenImage
from boltzformer.desk.masks.pointing import Pointing
from boltzformer.desk.masks.track import Track
from boltzformer.desk.memory import MemoryDialogs, MemorySpeaker, MemoryStage, MemoryTimers
from boltzformer.desk.runs.run import Run
from boltzformer.desk.settings import Settings
from boltzformer.desk.words import ViewerWords
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import Cancelled, Started


class Asked:
    """A question that nobody answers but the test."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def poll(self) -> list[Any]:
        """Since the last time."""
        came, self.events = self.events, []
        return came

    def cancel(self) -> None:
        self.events = [Cancelled()]

    def focus(self, index: int) -> None:
        """Whatever is looked at."""


class Bench:
    """A desk, and somebody at it; nobody ever asks a model."""

    def __init__(self, session: Session | None = None, folder: Path | None = None) -> None:
        session = session or Session.local()  # which starts nothing before it is asked
        self.stage, self.timers, self.speaker = MemoryStage(), MemoryTimers(), MemorySpeaker()
        self.dialogs = MemoryDialogs(folder=folder)
        usual = {"seed": 0, "window": None, "model": session.model, "region": None}
        self.how: dict[str, Any] = {}
        """What is asked otherwise than usual."""
        self.pointing = Pointing()
        self.desk = Desk(
            *(self.stage, self.timers, self.speaker, self.dialogs, ViewerWords(), Settings.load()),
            session=lambda: session,
            how=lambda _: {**usual, **self.how},
            pointing=lambda _: self.pointing,
        )
        self.stage.left = self.desk.image_left

    def open(self, grid: Grid) -> OpenImage:
        """An image in which nothing is to be seen."""
        return self.open_volume(Volume(np.zeros(grid.shape, np.uint8), grid, name="one"))

    def open_volume(self, volume: Volume) -> OpenImage:
        image = self.stage.open(volume)
        self.desk.chosen()
        return image

    def answered(self, image: OpenImage, name: str, found: Any, scores: Any = 0.9) -> Track:
        """A mask that a model has filled: `found` (slices, rows, columns), where one slice or more may be left out."""
        track = self.desk.tracks.new(image, Prompt(name))
        self.answer(track, dict(enumerate(found)), scores)
        return track

    def answer(self, track: Track, found: dict[int, Any], scores: Any = 0.9) -> None:
        """A run, slice by slice; `scores`: one for all, or by row."""
        plan = whole(track.image)
        run = track.begin_run(plan, 0.5)
        for row, mask in found.items():
            score = scores.get(row, 0.9) if isinstance(scores, dict) else scores
            track.answer(plan, result(plan, row, mask, score), 0, {"seed": 0}, run)
        made = {"state": "finished", "seed": 0, "thresholds": {"existence": 0.5}, "prompts": [track.prompt.text]}
        track.note_run({**made, "slices": list(found)}, run)
        desk = self.desk
        desk.overview.show_tracks()
        desk.keeper.touch(track.image)
        desk.counting.due(track)
        desk.sizes.now()
        desk.counting.now()
        self.idle()

    def ask(self, name: str | Prompt, *, every: bool, kind: type[Run] = Run, begun: bool = True) -> Asked:
        """The job of a run on the chosen image: its masks are there if it has `begun`, and no slice is answered yet."""
        image, job = self.desk.stage.chosen(), Asked()
        assert image is not None
        usual: Any = job
        prompt = Prompt(name) if isinstance(name, str) else name
        run = self.desk.running.new(image, [prompt], usual, {"model": "m"}, warnings={}, whole=every, kind=kind)
        self.desk.running.follow(run)
        if not begun:
            return job
        plan = image.plan
        job.events = [Started(plan, image.count if every else 1, {"thresholds": {"existence": 0.5}})]
        self.timers.tick()
        return job

    def until(self, what: Callable[[], bool]) -> None:
        """The viewer's clock ticks."""
        until(what, self.timers.tick, lambda: self.speaker.sentence)

    def idle(self) -> None:
        desk = self.desk
        self.timers.tick()
        self.until(
            lambda: (
                not (
                    (desk.running.runs or desk.keeper.work.busy or desk.work.busy)
                    or (desk.overview.reapplying.busy or desk.sizes.busy)
                )
            )
        )
        self.timers.tick()

    def leave(self) -> None:
        self.desk.leave()


def whole(image: OpenImage) -> SlicePlan:
    """A plan by which the model's answers are as large as the slices."""
    plan = image.plan
    return SlicePlan.of(plan.grid, max(plan.slice_shape), plan.axis)


def result(plan: SlicePlan, row: int, mask: Any, score: float) -> SliceResult:
    """Sure inside, sure outside."""
    square = plan.to_answer(np.where(mask, 4.0, -4.0).astype(np.float32), plan.size, -4.0)
    return SliceResult(plan.canonical_index(row), (square * 16)[None].astype(np.int8), np.array([score], np.float32))


def cone(bench: Bench) -> Track:
    """Of two slices, surest in one place that is neither its middle nor its first voxel; the second slice less so."""
    image = bench.open(Grid.from_lps((3, 40, 60), np.eye(4)))
    plan, track = whole(image), bench.desk.tracks.new(image, Prompt("x"))
    y, x = np.mgrid[:40, :60]
    run = track.begin_run(plan, 0.5)
    for row, top in enumerate((3.0, 6.0, -8.0)):
        logits = np.maximum(top - np.hypot(y - 10, (x - 10) * np.where(x > 10, 0.25, 1)), -8).astype(np.float32)
        square = plan.to_answer(logits, plan.size, -8.0)
        score = np.array([0.6 + 0.3 * (row == 1)], np.float32)
        answer = SliceResult(plan.canonical_index(row), (square * 16)[None].astype(np.int8), score)
        track.answer(plan, answer, 0, {"seed": 0}, run)
    track.note_run({"state": "finished", "prompts": ["x"], "slices": [0, 1, 2]}, run)
    bench.desk.overview.show_tracks()
    bench.desk.keeper.touch(image)
    bench.idle()
    return track
