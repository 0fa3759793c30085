"""`Worker`: the one thread that owns the device. It goes from task to task, one step each time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol


class Task(Protocol):
    """Work that is done step by step."""

    small: bool
    """Overtakes what is not, at the next step."""
    patient: bool
    """Is overtaken by what is not, at every step."""

    def ready(self) -> bool:
        """Whether the next step can be made now. Quick."""
        ...

    def step(self) -> bool:
        """Makes it; True if it was the last."""
        ...

    def waits(self, position: int) -> None:
        """So many tasks are before it."""
        ...


class Call:
    """A small task of one step whose outcome somebody waits for, such as a trace."""

    small = True
    patient = False

    def __init__(self, make: Callable[[], object], ready: Callable[[], bool] = lambda: True) -> None:
        self.outcome: Future[object] = Future()
        self._make, self._ready = make, ready

    def ready(self) -> bool:
        return self.outcome.cancelled() or self._ready()

    def step(self) -> bool:
        if self.outcome.set_running_or_notify_cancel():
            try:
                self.outcome.set_result(self._make())
            except BaseException as error:
                self.outcome.set_exception(error)
        return True

    def waits(self, position: int) -> None:
        pass


class Worker:
    """Small tasks, others, then patient ones, each kind in the order it came; what can't go on lets others pass."""

    def __init__(self) -> None:
        self._tasks: list[Task] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> None:
        with self._changed:
            self._tasks.append(task)
            self._tell_places()
            self._changed.notify()

    def wake(self) -> None:
        """Something may have become ready."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """After the step in hand, which is waited for: nothing must compute while the process ends."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(5)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (task := self._next()) is None:
                    self._changed.wait(1)  # a task may become ready by time alone: one that gives up
                if self._stopped:
                    return
            assert task is not None
            if task.step():
                with self._changed:
                    self._tasks.remove(task)
                    self._tell_places()
            del task  # or it would be held until the next one

    def _next(self) -> Task | None:
        ready = [task for task in self._tasks if task.ready()]
        return min(ready, key=_rank, default=None)  # the first of the most pressing kind

    def _tell_places(self) -> None:
        for place, task in enumerate(self._tasks):
            jobs = [other for other in self._tasks[:place] if not isinstance(other, Call)]
            task.waits(sum(_rank(other) <= _rank(task) for other in jobs))


def _rank(task: Task) -> int:
    return 0 if task.small else 2 if task.patient else 1
