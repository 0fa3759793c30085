"""Waiting for a desk whose clock ticks when told to."""

import threading
from collections.abc import Callable

PATIENCE_S = 120
"""The machine may be busy."""


def until(what: Callable[[], bool], tick: Callable[[], None], said: Callable[[], str]) -> None:
    """The viewer's clock ticks until something is true; what was said last tells why it never was."""
    between = threading.Event()
    for _ in range(PATIENCE_S * 100):
        tick()
        if what():
            return
        between.wait(0.01)
    raise AssertionError(f"it never came to that; last said: {said()}")
