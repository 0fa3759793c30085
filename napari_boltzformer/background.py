"""`Background`: slow things beside the viewer; what becomes of them is told on the viewer's own thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, QTimer

from boltzformer import BoltzFormerError

POLL_MS = 40


class Background(QObject):
    """Two threads: starting an engine must not hold up what needs none."""

    def __init__(self, parent: QObject, name: str, fail: Callable[[str, str], None], threads: int = 2) -> None:
        super().__init__(parent)
        self.pool = ThreadPoolExecutor(threads, name)
        self._fail = fail
        self._waiting: list[tuple[Future[Any], Callable[[Any], None]]] = []
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._look)

    def do(self, work: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Returns at once; `then` gets the result. An error becomes a sentence."""
        self._waiting.append((self.pool.submit(work), then))
        self._timer.start()

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def _look(self) -> None:
        ready = [pair for pair in self._waiting if pair[0].done()]
        self._waiting = [pair for pair in self._waiting if pair not in ready]
        if not self._waiting:
            self._timer.stop()
        for future, then in ready:
            try:
                result = future.result()
            except CancelledError:
                continue
            except BoltzFormerError as error:
                self._fail(str(error), "")
                continue
            except Exception as error:  # a person must hear of it, whatever it was
                self._fail(f"That failed ({type(error).__name__}: {error}).", traceback.format_exc())
                continue
            then(result)
