"""One large file over HTTP: goes on where it was interrupted, is held against its checksum, appears whole or not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from boltzformer.atomic import flush
from boltzformer.errors import CheckpointError

TRIES = 4
"""So many times in a row without a single new byte, then we give up and keep what has come."""
PAUSE = 0.5
"""Seconds before the second try; twice as long before each further one."""
CHUNK = 2**20


class Unreachable(CheckpointError):
    """The other side does not answer: worth another try."""


@dataclass(frozen=True)
class Remote:
    """A file as its server announces it."""

    url: str
    size: int
    checksum: str
    """SHA-256 of the content, or Git's SHA-1 of it; anything else can't be checked."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Received:
    """Bytes that have come, of how many."""

    done: int
    total: int


def download(look: Callable[[], Remote], target: Path, what: str) -> Iterator[Received]:
    """Fetch into `target`. `look` asks where the file lies now: addresses expire. `what` names it in errors.

    What has come of an unfinished file stays beside the target as `….part`, and the next call goes on from there.
    """
    failures, last, part = 0, Received(0, 0), target
    while True:
        try:
            remote = look()
            part = _part(target, remote)
            last = Received(_size(part), remote.size)
            for received in _more(remote, part, last.done):
                failures, last = 0, received
                yield received
            if last.done == remote.size:
                break
            reason = "the connection ended early"
        except Unreachable as error:
            if last.total == 0:
                raise  # it never answered: the first sentence tells all
            reason = str(error.__cause__ or error)
        except httpx.HTTPStatusError as error:
            reason = f"the server answered {error.response.status_code}"
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
        except OSError as error:
            raise CheckpointError(
                f"{what} can't be stored in {target.parent} ({error.strerror or error}): "
                "free some space, or choose another place with BOLTZFORMER_HOME."
            ) from error
        failures += 1
        if failures >= TRIES:
            raise CheckpointError(
                f"The download of {what} was interrupted at {last.done / 1e6:.1f} of {last.total / 1e6:.1f} MB "
                f"({reason}): give the same command again, and it goes on from there."
            )
        time.sleep(PAUSE * 2 ** (failures - 1))
    _finish(remote, part, target, what)


def matches(path: Path, checksum: str) -> bool:
    """Whether a file has this checksum; True for checksums of a kind that we don't know."""
    if re.fullmatch(r"[0-9a-f]{64}", checksum):
        digest = hashlib.sha256()
    elif re.fullmatch(r"[0-9a-f]{40}", checksum):
        digest = hashlib.sha1(f"blob {_size(path)}\0".encode(), usedforsecurity=False)  # as Git counts
    else:
        return True
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest() == checksum


def _part(target: Path, remote: Remote) -> Path:
    """Where an unfinished file of exactly this content grows. Remains of older contents go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.{re.sub(r'[^0-9a-zA-Z]', '', remote.checksum)[:16]}.part")
    for old in target.parent.glob(f"{target.name}.*.part"):
        if old != part or _size(old) > remote.size:
            old.unlink()
    free = shutil.disk_usage(target.parent).free
    if free < remote.size - _size(part):
        raise OSError(None, f"it needs {remote.size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    return part


def _more(remote: Remote, part: Path, done: int) -> Iterator[Received]:
    """The bytes from `done` on."""
    if done == remote.size:
        return
    headers = {**remote.headers, "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    client = httpx.Client(follow_redirects=True, timeout=httpx.Timeout(10, read=30))  # proxies: as the environment says
    with client, client.stream("GET", remote.url, headers=headers) as response:
        if response.status_code == 416:
            part.unlink(missing_ok=True)  # what we have is no beginning of what is there
        response.raise_for_status()
        goes_on = response.status_code == 206
        done = done if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for block in response.iter_raw():  # as it comes: what a cut would take from a larger block is kept
                file.write(block)
                done += len(block)
                yield Received(done, remote.size)


def _finish(remote: Remote, part: Path, target: Path, what: str) -> None:
    if not matches(part, remote.checksum):
        part.unlink()
        raise CheckpointError(
            f"{what} arrived damaged: its checksum is not {remote.checksum[:12]}…, as its server says, so it was "
            "deleted; download it again, and if that happens twice ask who runs your network or proxy."
        )
    flush(part)
    os.replace(part, target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
