"""`Background`: slow things beside the viewer; what becomes of them is told on the viewer's own thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer

from boltzformer import BoltzFormerError
from napari_boltzformer.discreet import trace_of

POLL_MS = 40


@dataclass(frozen=True)
class _Waiting:
    future: Future[Any]
    then: Callable[[Any], None]
    failed: Callable[[], None]
    topic: str


class Background(QObject):
    """Two threads: starting an engine must not hold up what needs none."""

    def __init__(self, parent: QObject, name: str, fail: Callable[[str, str], None], threads: int = 2) -> None:
        super().__init__(parent)
        self.pool = ThreadPoolExecutor(threads, name)
        self._fail = fail
        self._waiting: list[_Waiting] = []
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)

    def do(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None] = lambda _: None,
        *,
        failed: Callable[[], None] = lambda: None,
        topic: str = "",
    ) -> None:
        """Returns at once; `then` gets the result. An error becomes a sentence, and `failed` is called instead.

        What was asked before about the same topic is stale: nobody gets its answer.
        """
        self.drop(topic)
        self._waiting.append(_Waiting(self.pool.submit(work), then, failed, topic))
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

    def _look(self) -> None:
        ready = [one for one in self._waiting if one.future.done()]
        self._waiting = [one for one in self._waiting if one not in ready]
        if not self._waiting:
            self._timer.stop()
        for one in ready:
            if one.future.cancelled():
                continue
            error = one.future.exception()
            answer = one.failed if error is not None else partial(one.then, one.future.result())
            if error is not None:
                self._tell(error)
            try:
                answer()
            except Exception as wrong:  # the next one is told all the same
                self._tell(wrong)

    def _tell(self, error: BaseException) -> None:
        """A person must hear of it, whatever it was."""
        if isinstance(error, BoltzFormerError):
            self._fail(str(error), "")
        else:
            self._fail(f"That failed ({type(error).__name__}: {error}).", trace_of(error))
