"""Refusals: errors that know their HTTP status; every other error of ours is a bad request (400). And what is said and
logged when something breaks that should not."""

from __future__ import annotations

import logging
import traceback

from boltzformer.errors import BoltzFormerError


class Refusal(BoltzFormerError):
    status = 400


class Forbidden(Refusal):
    """Not by this backend, whoever asks."""

    status = 403


class NotFound(Refusal):
    """It is not here, or no more."""

    status = 404


class Conflict(Refusal):
    """Not now: something else must end first."""

    status = 409


class Gone(Refusal):
    """It was here, and was let go."""

    status = 410


class TooLarge(Refusal):
    """One thing is beyond a limit."""

    status = 413


class Busy(Refusal):
    """Too much is going on."""

    status = 429


class NoRoom(Refusal):
    """There is no memory or no disk for it now."""

    status = 507


def status_of(error: BoltzFormerError) -> int:
    return error.status if isinstance(error, Refusal) else 400


log = logging.getLogger("boltzformer.server")


def sentence_about(error: BaseException) -> str:
    """For the owner of the job; the log gets the kind and the place alone, for a message may tell of a patient."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"{frame.filename}:{frame.lineno}" for frame in last)
    log.error("%s at %s", type(error).__name__, place)
    if isinstance(error, MemoryError):
        return "The computer has too little memory for this: close other programs, or use a smaller model."
    return f"The engine failed ({type(error).__name__}: {error}). Run again; if it stays, report it."
