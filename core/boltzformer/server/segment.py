"""`SegmentJob`: one segmentation on the worker thread, a step per event, as its slices arrive and its user moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from boltzformer.errors import BoltzFormerError, slice_of
from boltzformer.protocol import SMALL, SegmentRequest
from boltzformer.server.events import END, EventLog
from boltzformer.server.faults import sentence_about
from boltzformer.server.limits import Limits
from boltzformer.server.models import Models
from boltzformer.server.volumes import Stored
from boltzformer.types import Cancelled, Event, Failed, Prediction, Queued, Started, as_prompts

if TYPE_CHECKING:
    from boltzformer.image.slicing import SlicePlan


class SegmentJob:
    """Its last event is always a Prediction, Cancelled or Failed."""

    kind = "segment"

    def __init__(
        self,
        request: SegmentRequest,
        stored: Stored,
        models: Models,
        log: EventLog,
        limits: Limits,
        on_end: Callable[[], None],
    ) -> None:
        self.log, self.prompts, self._on_end = log, as_prompts(request.prompts), on_end
        self._request, self._stored, self._models, self._limits = request, stored, models, limits
        axis = stored.announced.slice_axis if request.axis not in (0, 1, 2) else request.axis
        count = stored.announced.grid.shape[axis] if request.slices is None else len(request.slices)
        self.small = count <= SMALL
        self._ending: Cancelled | Failed | None = None
        self._place = 0
        self._focus: int | None = None
        self._began: float | None = None
        self._plan: SlicePlan | None = None
        self._left: list[int] = []
        self._steps: Iterator[Event] | None = None

    @property
    def state(self) -> Literal["waiting", "running", "ended"]:
        if self.log.end is not None:
            return "ended"
        return "waiting" if self._began is None else "running"

    # --- asked from outside --------------------------------------------------------------------------------------

    def focus(self, index: int) -> None:
        """The slice to go on with."""
        self._focus = index

    def end(self, how: Cancelled | Failed) -> None:
        """At the next step; what is finished stays valid."""
        self._ending = self._ending or how

    # --- what the worker does ------------------------------------------------------------------------------------

    def waits(self, position: int) -> None:
        if position and position != self._place and self._began is None:
            self._place = position
            self.log.add(Queued(position))

    def ready(self) -> bool:
        self._give_up_if_late()
        if self._ending is not None or self._plan is None:
            return True
        return not self.log.full and self._has_next(self._plan)

    def step(self) -> bool:
        try:
            event = self._ending or self._advance()
        except BoltzFormerError as error:
            event = Failed(str(error), slice_of(error))
        except Exception as error:  # whatever it was, the client must hear an end and the server goes on
            event = Failed(sentence_about(error), slice_of(error))
        self.log.add(event)
        if not isinstance(event, END):
            return False
        self._steps, self._left = None, []
        self._on_end()
        return True

    def _advance(self) -> Event:
        if self._steps is None:
            self._began = time.monotonic()
            self._steps = self._prepared()
        event = next(self._steps)
        if isinstance(event, Started):
            total = len(self._left) if self._request.slices is None else len(set(self._request.slices))
            return replace(event, total=total, provenance=self._signed(event.provenance))
        if isinstance(event, Prediction):  # its slices were sent before; the client puts them back
            return Prediction(event.prompts, (), event.plan, self._signed(event.provenance))
        return event

    def _prepared(self) -> Iterator[Event]:
        from boltzformer.engine.run import check_slices, outwards  # brings torch along: only here, on the worker thread

        r, volume = self._request, self._stored.volume
        engine = self._models.engine(r.model)
        plan = engine.plan(volume, r.axis, r.region, r.size)
        self._left = outwards(plan.indices, r.start) if r.slices is None else check_slices(r.slices, plan)
        steps = engine.segment(
            volume,
            r.prompts,
            seed=r.seed,
            start=self._left[0] if r.start is None else r.start,
            slices=self._next_index,
            window=r.window,
            axis=r.axis,
            samples=r.samples,
            region=r.region,
            size=r.size,
            guidance=r.guidance,
            cache_bytes=self._limits.cache_bytes,
            voxels=self._stored.id,
        )
        self._plan = plan
        return steps

    def _next_index(self) -> int | None:
        """For the engine; on a GPU it looks ahead, and gets what is there already."""
        assert self._plan is not None
        if not self._left or not self._is_here(self._plan, self._left[0]):
            return None
        return self._left.pop(0)

    def _has_next(self, plan: SlicePlan) -> bool:
        focus, self._focus = self._focus, None
        if focus is not None:
            self._left.sort(key=lambda index: (abs(index - focus), index))
        # The last step tells the hash of the whole image.
        return self._is_here(plan, self._left[0]) if self._left else self._stored.complete

    def _is_here(self, plan: SlicePlan, index: int) -> bool:
        """With its neighbours, which the network sees, too."""
        seen = [plan.canonical_index(number) for number in plan.neighbours(plan.canonical_index(index))]
        return self._stored.has(plan.axis, seen)

    def _give_up_if_late(self) -> None:
        if self._began is None or self._plan is None:
            return
        now = time.monotonic()
        if now - self._began > self._limits.job_seconds:
            hours = self._limits.job_seconds / 3600
            self.end(Failed(f"The job took longer than {hours:g} h, which is the limit: ask for fewer slices."))
        elif not self._has_next(self._plan) and now - self._stored.arrived > self._limits.stall_seconds:
            self.end(Failed("The image stopped arriving before all its slices were there: run again."))

    def _signed(self, provenance: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the true hash of the image, where the engine knows only what stands for it."""
        return {**provenance, "image": {**provenance["image"], "sha256": self._stored.state().sha256}}
