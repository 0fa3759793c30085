"""`Work`: slow things beside the viewer; what becomes of them is told on the viewer's own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from boltzformer.desk.discreet import trace_of
from boltzformer.desk.ports import Timers
from boltzformer.errors import BoltzFormerError

POLL_MS = 40


@dataclass(frozen=True)
class _Waiting:
    future: Future[Any]
    then: Callable[[Any], None]
    failed: Callable[[], None]
    topic: str


class Work:
    """A pool of threads. What they are given is frozen or theirs alone: never a mask of the viewer's."""

    def __init__(self, timers: Timers, name: str, fail: Callable[[str, str], None], threads: int = 2) -> None:
        """`fail` says an error: a sentence, and details where it is none of ours."""
        self._pool = ThreadPoolExecutor(threads, name)
        self._fail = fail
        self._waiting: list[_Waiting] = []
        self._timer = timers.every(POLL_MS, self._look)

    def do(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None] = lambda _: None,
        failed: Callable[[], None] = lambda: None,
        *,
        topic: str = "",
    ) -> None:
        """Returns at once. Exactly one is called: `then` with the result, or `failed` after the error was said.

        What was asked before about the same topic is stale: nobody hears of it any more.
        """
        self.drop(topic)
        self._waiting.append(_Waiting(self._pool.submit(work), then, failed, topic))
        self._timer.start()

    def drop(self, topic: str) -> None:
        """Nobody wants the answer any more."""
        if topic:
            for one in self._waiting:
                if one.topic == topic:
                    one.future.cancel()
            self._waiting = [one for one in self._waiting if one.topic != topic]

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def close(self, *, wait: bool) -> None:
        """No more is taken on; `wait`: what was begun or waits in line is still done, though nobody hears of it."""
        self._pool.shutdown(wait=wait, cancel_futures=not wait)

    def _look(self) -> None:
        for one in [waiting for waiting in self._waiting if waiting.future.done()]:
            if one in self._waiting:  # else what was told before it has made it stale
                self._waiting.remove(one)
                self._tell(one)
        if not self._waiting:
            self._timer.stop()

    def _tell(self, one: _Waiting) -> None:
        """Whatever it does, the others are told, too."""
        try:
            result = one.future.result()
        except CancelledError:
            return
        except Exception as error:  # a person must hear of it, whatever it was
            self._say(error)
            self._call(one.failed)
            return
        self._call(lambda: one.then(result))

    def _call(self, do: Callable[[], None]) -> None:
        try:
            do()
        except Exception as error:  # one that fails hurts no other
            self._say(error)

    def _say(self, error: Exception) -> None:
        if isinstance(error, BoltzFormerError):
            self._fail(str(error), "")
        else:
            self._fail(f"That failed ({type(error).__name__}: {error}).", trace_of(error))
