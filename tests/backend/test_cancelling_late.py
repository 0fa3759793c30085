"""Cancelling what has ended, or whose backend is gone, is over at once."""

import threading
import time

from phantom_model import PHANTOM_MODEL

from boltzformer import Session
from boltzformer.io.phantom import BRIGHT, phantom


def test_a_cancel_that_comes_too_late_is_told_once() -> None:
    with Session.local(PHANTOM_MODEL) as session:
        job = session.segment(phantom(3, (3, 64, 64)).volume, BRIGHT)
        job.result()
        job.cancel()
        until = time.monotonic() + 60
        while any("_tell_all" in thread.name for thread in threading.enumerate()):
            assert time.monotonic() < until, "it is told again and again"
            threading.Event().wait(0.05)
