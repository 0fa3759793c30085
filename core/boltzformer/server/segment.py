"""`SegmentJob`: one segmentation on the worker thread, a step per event, as its slices arrive and its user moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from boltzformer.masks.lessons import Adapter
from boltzformer.protocol import SMALL, SegmentRequest
from boltzformer.server.events import STALLED, EventLog, LiveJob
from boltzformer.server.guard import Limits
from boltzformer.server.models import Models
from boltzformer.server.volumes import Stored
from boltzformer.types import Event, Failed, Prediction, SliceResult, Started, as_prompts

if TYPE_CHECKING:
    from boltzformer.engine.scout import Scout
    from boltzformer.image.slicing import SlicePlan


class SegmentJob(LiveJob):
    """Its last event is always a Prediction, Cancelled or Failed."""

    kind: Literal["segment", "adapt"] = "segment"

    def __init__(
        self,
        request: SegmentRequest,
        stored: Stored,
        models: Models,
        log: EventLog,
        limits: Limits,
        on_end: Callable[[], None],
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(log, on_end)
        self.prompts, self._adapter = as_prompts(request.prompts), adapter
        self._request, self._stored, self._models, self._limits = request, stored, models, limits
        axis = stored.announced.slice_axis if request.axis not in (0, 1, 2) else request.axis
        count = stored.announced.grid.shape[axis] if request.slices is None else len(request.slices)
        self.small = count <= SMALL
        self._focus: int | None = None
        self._plan: SlicePlan | None = None
        self._left: list[int] = []
        self._scout: Scout | None = None
        self._total = 0
        """Slices that a scout may ask."""
        self._steps: Iterator[Event] | None = None

    def focus(self, index: int) -> None:
        self._focus = index

    # --- what the worker does ------------------------------------------------------------------------------------

    def ready(self) -> bool:
        self._give_up_if_late()
        if self._ending is not None:
            return True
        if self._plan is None:  # whether lessons are this image's can be told when all of it is there
            return self._adapter is None or self._stored.complete
        return not self.log.full and self._has_next(self._plan)

    def _let_go(self) -> None:
        self._steps, self._left = None, []

    def _advance(self) -> Event:
        if self._steps is None:
            self._begin()
            self._steps = self._prepared()
        event = next(self._steps)
        if isinstance(event, Started):
            total = len(self._left) if self._request.slices is None else len(set(self._request.slices))
            total = total if self._scout is None else self._total
            return replace(event, total=total, provenance=self._signed(event.provenance))
        if isinstance(event, SliceResult) and self._scout is not None:
            self._scout.heard(event)
        if isinstance(event, Prediction):  # its slices were sent before; the client puts them back
            return Prediction(event.prompts, (), event.plan, self._signed(event.provenance))
        return event

    def _prepared(self) -> Iterator[Event]:
        from boltzformer.engine.adapted import check_bound
        from boltzformer.engine.run import check_slices, outwards  # brings torch along: only here, on the worker thread
        from boltzformer.engine.scout import Scout

        r, volume = self._request, self._stored.volume
        engine = self._models.engine(r.model)
        plan = engine.plan(volume, r.axis, r.region, r.size)
        if self._adapter is not None:
            check_bound(self._adapter, engine.about, self._stored.state().sha256, plan.axis, self.prompts)
            engine = self._models.adapted(r.model, self._adapter)
        self._left = outwards(plan.indices, r.start) if r.slices is None else check_slices(r.slices, plan)
        if r.scout is not None:
            self._scout, self._total = Scout(self._left, r.scout), len(self._left)
            self._left = self._scout.left
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
            tiles=r.tiles,
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
        now = time.monotonic()
        if self._began is None or self._plan is None:
            if self._adapter is not None:
                self._give_up_if_stalled(self._stored, self._limits)
            return
        if now - self._began > self._limits.job_seconds:
            hours = self._limits.job_seconds / 3600
            self.end(Failed(f"The job took longer than {hours:g} h, which is the limit: ask for fewer slices."))
        elif not self._has_next(self._plan) and now - self._stored.arrived > self._limits.stall_seconds:
            self.end(Failed(STALLED))

    def _signed(self, provenance: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the true hash of the image, where the engine knows only what stands for it."""
        scout = {} if self._scout is None else {"scout": self._scout.facts}
        return {**provenance, **scout, "image": {**provenance["image"], "sha256": self._stored.state().sha256}}
