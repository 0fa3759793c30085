"""What is said and what is logged when something breaks that should not."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger("boltzformer.server")


def sentence_about(error: BaseException) -> str:
    """For the owner of the job; the log gets the kind and the place alone, for a message may tell of a patient."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"{frame.filename}:{frame.lineno}" for frame in last)
    log.error("%s at %s", type(error).__name__, place)
    if isinstance(error, MemoryError):
        return "The computer has too little memory for this: close other programs, or use a smaller model."
    return f"The engine failed ({type(error).__name__}: {error}). Run again; if it stays, report it."
