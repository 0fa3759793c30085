"""`Limits`: how much one backend takes in, keeps and waits for."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def _half_of_memory() -> int:
    """At most 8 GB, and never more than half of what the computer has."""
    try:
        return min(8_000_000_000, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    except (AttributeError, OSError, ValueError):  # Windows does not tell so
        return 4_000_000_000


def _quarter_of_files() -> int:
    """Each connection is an open file, and there must be others."""
    try:
        import resource
    except ImportError:  # Windows
        return 256
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 256 if most == resource.RLIM_INFINITY else max(16, min(256, most // 4))


@dataclass(frozen=True)
class Limits:
    """Bytes, seconds and numbers."""

    connections: int = field(default_factory=_quarter_of_files)
    """Open at the same time; silent ones make room."""
    silence_seconds: float = 10
    """A request's head must be there after so long, and of its body something each time."""
    header_bytes: int = 16 * 2**10
    """Of a request's first line and headers."""
    volumes: int = 256
    """Announced at the same time, sent or not."""
    volume_slices: int = 100_000
    """Of one image, along the axis of its upload."""
    volumes_bytes: int = field(default_factory=_half_of_memory)
    """Of all images together, as they lie in memory."""
    slab_bytes: int = 64 * 2**20
    """Of one upload of slices, before and after unpacking; a single larger slice is allowed as well."""
    body_bytes: int = 2**20
    """Of any other request."""
    models_bytes: int = 6_000_000_000
    """Of the weights that stay loaded; the model in use is always allowed."""
    cache_bytes: int = 2_000_000_000
    """Of image features that are kept for the next prompt."""
    adapters_bytes: int = 256 * 2**20
    """Of what was learnt from cases; the one used last is always kept."""
    jobs: int = 32
    """Waiting or running at the same time."""
    job_seconds: float = 6 * 3600
    """From a job's first step to its end."""
    stall_seconds: float = 60
    """A job that waits for slices gives up when none has come for so long."""
    keep_seconds: float = 1800
    """What nobody asks for any more is forgotten: results, volumes, jobs that nobody listens to."""
    unread_bytes: int = 32 * 2**20
    """A job pauses when its reader is so far behind."""
    log_bytes: int = 128 * 2**20
    """Of one job's events; those that were read make room first."""
    results_bytes: int = 512 * 2**20
    """Of the events of all jobs that have ended; the earliest go first."""
    ended_jobs: int = 256
    sweep_seconds: float = 5
    """How often what is too old is looked for."""
