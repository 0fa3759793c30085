"""Refusals: errors that know their HTTP status. Every other error of ours is a bad request (400)."""

from __future__ import annotations

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
