"""`Jobs`: all that were asked for and not yet let go. What runs as a process of its own will stand here beside them."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator

from boltzformer.errors import BoltzFormerError
from boltzformer.protocol import AdaptRequest, JobState, SegmentRequest, decode
from boltzformer.server.adapting import Adapters, AdaptJob
from boltzformer.server.events import EventLog, LiveJob
from boltzformer.server.guard import Limits
from boltzformer.server.models import Models
from boltzformer.server.refusals import Busy, Conflict, Gone, NotFound
from boltzformer.server.segment import SegmentJob
from boltzformer.server.volumes import Stored, Volumes
from boltzformer.server.work import Worker
from boltzformer.types import Cancelled, Failed, LabelMap, Prediction, SliceResult, Started


class Jobs:
    """By id. A job ends on the worker thread; its events stay until its owner lets go of them, or time does."""

    def __init__(self, volumes: Volumes, models: Models, adapters: Adapters, worker: Worker, limits: Limits) -> None:
        self._volumes, self._models, self._adapters = volumes, models, adapters
        self._worker, self._limits = worker, limits
        self._jobs: dict[str, tuple[LiveJob, str]] = {}  # and the key that its owner chose
        self._lock = threading.Lock()

    @property
    def live(self) -> int:
        """Waiting or running."""
        return sum(1 for job in self._all() if job.log.end is None)

    @property
    def nbytes(self) -> int:
        """Of all events that are kept."""
        return sum(job.log.nbytes for job in self._all())

    def segment(self, request: SegmentRequest, key: str = "") -> JobState:
        """Puts the work in the queue; the same key a second time finds the same job."""

        def make(stored: Stored, log: EventLog, let_go: Callable[[], None]) -> LiveJob:
            adapter = self._adapters.get(request.adapter)
            return SegmentJob(request, stored, self._models, log, self._limits, let_go, adapter)

        return self._put(request.volume, key, make)

    def adapt(self, request: AdaptRequest, key: str = "") -> JobState:
        """Likewise. The newest lessons win: a learning that is under way ends."""

        def make(stored: Stored, log: EventLog, let_go: Callable[[], None]) -> LiveJob:
            job = AdaptJob(request, stored, self._models, self._adapters, log, self._limits, let_go)
            for other in self._all():
                if isinstance(other, AdaptJob):
                    other.end(Cancelled())
            return job

        return self._put(request.volume, key, make)

    def _put(self, volume: str, key: str, make: Callable[[Stored, EventLog, Callable[[], None]], LiveJob]) -> JobState:
        with self._lock:
            known = next((name for name, (_, its) in self._jobs.items() if key and its == key), None)
            if known is not None:
                return self.state(known)
            if self.live >= self._limits.jobs:
                raise Busy(f"{self._limits.jobs} jobs are waiting or running: wait until one has ended, or cancel it.")
            stored = self._volumes.hold(volume)
            name, log = secrets.token_hex(16), EventLog(self._limits, self._worker.wake)

            def let_go() -> None:
                self._volumes.release(stored.id)

            try:
                job = make(stored, log, let_go)
            except BoltzFormerError:
                let_go()
                raise
            self._jobs[name] = (job, key)
        self._worker.submit(job)
        return self.state(name)

    def get(self, name: str) -> LiveJob:
        found = self._jobs.get(name)
        if found is None:
            raise NotFound("There is no such job, or its results were let go: run again.")
        return found[0]

    def state(self, name: str) -> JobState:
        """Where it stands."""
        job = self.get(name)
        return JobState(name, job.kind, job.state, job.log.first, job.log.last)

    def log_after(self, name: str, after: int) -> EventLog:
        """The events to read on from; refuses where some of those that follow are no longer kept."""
        log = self.get(name).log
        if after < log.first - 1:
            raise Gone(f"The events up to {log.first - 1} were let go: run again.")
        if after > log.last:
            raise BoltzFormerError(f"There is no event {after} yet; the last is {log.last}.")
        return log

    def focus(self, name: str, index: int) -> None:
        self.get(name).focus(index)
        self._worker.wake()

    def cancel(self, name: str) -> None:
        """Cancelling what has ended is no error."""
        self.get(name).end(Cancelled())
        self._worker.wake()

    def forget(self, name: str) -> None:
        """The owner has what it wanted, or wants nothing any more."""
        self.cancel(name)
        with self._lock:
            found = self._jobs.pop(name, None)
        if found is not None:
            found[0].log.drop_all()

    def masks(self, name: str, threshold: float, existence: float | None) -> LabelMap:
        """The masks of a job that has ended, on the stored grid, from its kept answers."""
        job = self.get(name)
        if not isinstance(job, SegmentJob):
            raise BoltzFormerError("The job learns and makes no masks: ask for them with what it learnt.")
        log = job.log
        if log.end is None:
            raise Conflict("The job is still running: ask for its masks when it has ended.")
        if log.first > 1:
            raise Gone("Some of the job's answers were let go: run again.")
        events = [decode(frame) for frame in log.frames()]
        started = next((event for event in events if isinstance(event, Started)), None)
        slices = {event.index: event for event in events if isinstance(event, SliceResult)}
        if not isinstance(started, Started) or not slices:
            raise BoltzFormerError("The job ended before its first slice, so there are no masks: run again.")
        answers = tuple(slices[index] for index in sorted(slices))
        return Prediction(job.prompts, answers, started.plan, started.provenance).labels(threshold, existence)

    def sweep(self, now: float) -> None:
        """Ends what nobody listens to any more, forgets what was kept long enough or takes too much room."""
        jobs = {name: job for name, (job, _) in list(self._jobs.items())}
        for name, job in jobs.items():
            if not job.log.readers and now - job.log.touched > self._limits.keep_seconds:
                if job.log.end is None:
                    job.end(Failed("Nobody has listened to this job for long, so it was stopped: run again."))
                    self._worker.wake()
                else:
                    self.forget(name)
        ended = sorted((name for name, job in jobs.items() if job.log.end), key=lambda name: jobs[name].log.touched)
        room = self._limits.results_bytes - sum(jobs[name].log.nbytes for name in ended)
        while ended and (room < 0 or len(ended) > self._limits.ended_jobs):
            name = ended.pop(0)
            room += jobs[name].log.nbytes
            with self._lock:
                self._jobs.pop(name, None)

    def _all(self) -> Iterator[LiveJob]:
        return iter([job for job, _ in list(self._jobs.values())])
