"""`AdaptJob`: learning from a case on the worker thread, giving way at every step; `Adapters`: what was learnt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from boltzformer.errors import BackendError, BoltzFormerError
from boltzformer.masks.lessons import Adapted, Adapter, Fit
from boltzformer.protocol import AdaptRequest, decode
from boltzformer.server.events import EventLog, LiveJob, Told
from boltzformer.server.guard import Limits
from boltzformer.server.models import Models
from boltzformer.server.refusals import NotFound
from boltzformer.server.volumes import Stored
from boltzformer.types import Lesson


def adapter_of(frame: bytes) -> Adapter:
    """What a client brings; refused unless it is what it says."""
    try:
        found = decode(frame)
        if not isinstance(found, Adapter) or not isinstance(found.fit, Fit):
            raise TypeError(type(found).__name__)
        numbers = all(isinstance(value, float | int | None) for value in vars(found.fit).values())
        deltas = all(isinstance(one, np.ndarray) and one.dtype == np.float16 for one in found.deltas.values())
        lessons = all(
            isinstance(one, Lesson) and isinstance(one.mask, np.ndarray) and one.mask.dtype == bool
            for one in found.lessons
        )
        words = all(isinstance(one, str) for one in (found.parent, found.volume, found.prompt, found.start))
        if not (numbers and deltas and lessons and words):
            raise TypeError("its fields")
    except (BackendError, TypeError, AttributeError) as error:
        raise BoltzFormerError(f"What was sent is nothing that was learnt here ({error}): learn again.") from error
    return found


class Adapters:
    """By id; those not used for longest make room."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: dict[str, Adapter] = {}  # the one used last is the last
        self._lock = threading.Lock()

    def add(self, adapter: Adapter) -> str:
        """Keeps it → its id."""
        name = adapter.id
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = adapter
            while len(self._kept) > 1 and sum(one.nbytes for one in self._kept.values()) > self._limits.adapters_bytes:
                del self._kept[next(iter(self._kept))]
        return name

    def get(self, name: str) -> Adapter | None:
        """The one with this id; none for no id."""
        if not name:
            return None
        with self._lock:
            found = self._kept.pop(name, None)
            if found is None:
                raise NotFound("What was learnt is not here any more: send it again.")
            self._kept[name] = found
        return found


class AdaptJob(LiveJob):
    """Its last event is always an Adapted, Cancelled or Failed."""

    kind: Literal["segment", "adapt"] = "adapt"
    patient = True

    def __init__(
        self,
        request: AdaptRequest,
        stored: Stored,
        models: Models,
        adapters: Adapters,
        log: EventLog,
        limits: Limits,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(log, on_end)
        self._lessons = tuple(one.opened() for one in request.lessons)
        self._start = adapters.get(request.start)
        self._request, self._stored, self._models = request, stored, models
        self._adapters, self._limits = adapters, limits
        self._steps: Iterator[Told] | None = None

    def ready(self) -> bool:
        self._give_up_if_stalled(self._stored, self._limits)
        return self._ending is not None or (self._stored.complete and not self.log.full)

    def _advance(self) -> Told:
        if self._steps is None:
            self._begin()
            self._steps = self._prepared()
        event = next(self._steps)
        if isinstance(event, Adapted):
            self._adapters.add(event.adapter)
        return event

    def _prepared(self) -> Iterator[Told]:
        from boltzformer.learn.adapt import adapt  # brings torch along: only here, on the worker thread

        r = self._request
        return adapt(
            self._models.engine(r.model),
            self._stored.volume,
            r.prompt,
            self._lessons,
            seconds=r.seconds,
            steps=r.steps,
            seed=r.seed,
            window=r.window,
            axis=r.axis,
            start=self._start,
            voxels=self._stored.state().sha256,
        )

    def _let_go(self) -> None:
        self._steps = None
