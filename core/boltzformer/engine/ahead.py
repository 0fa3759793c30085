"""`Ahead`: the next slice is encoded on a thread of its own while the prompts of the one in hand are answered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from boltzformer.model.boltzformer import ImageState


class Ahead:
    """Of one run; one slice at a time. The thread begins with the first slice and ends with `close`."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._index = -1
        self._state: Future[ImageState] | None = None

    def begin(self, index: int, encode: Callable[[], ImageState]) -> None:
        """Encodes a slice, with as many of torch's own threads as here: so all numbers have the bits of here."""
        if self._thread is None:
            # every thread has a number of its own, and some of torch's libraries start with the number of cores
            at_once = (torch.get_num_threads(),)
            self._thread = ThreadPoolExecutor(1, "boltzformer-ahead", torch.set_num_threads, at_once)
        self._index, self._state = index, self._thread.submit(_answering, encode)

    def take(self, index: int) -> ImageState | None:
        """What was begun of a slice, once it is there, or the error that it ended with; None: nothing was begun."""
        if self._state is None or index != self._index:
            return None
        state, self._state = self._state, None
        return state.result()

    def close(self) -> bool:
        """Waits for what is being computed, at most one slice, and lets go of it; False if there never was anything."""
        thread, self._thread, self._state = self._thread, None, None
        if thread is not None:
            thread.shutdown(cancel_futures=True)
        return thread is not None


def _answering(encode: Callable[[], ImageState]) -> ImageState:
    with torch.inference_mode():  # each thread decides this for itself
        return encode()
