"""What the processes of a cluster do: open images, ask the model, write files. Each says what happened as a `Note`, and
raises nothing: what ends such a process is beyond Python."""

from __future__ import annotations

import os
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from boltzformer import io
from boltzformer.cli.case_files import Answered, Opened
from boltzformer.cli.casework import Casework
from boltzformer.cli.request import Request
from boltzformer.cli.show import Show
from boltzformer.engine.devices import CACHE_BYTES, WORK_PER_FEATURES, Place, feature_bytes
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import Case
from boltzformer.model.config import ModelConfig
from boltzformer.speaking import sentence_about
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Errand:
    """What all of them are told."""

    request: Request
    output: Path
    about: Checkpoint
    device: str
    precision: str
    threads: int
    """Of each model on a CPU: as many as a plain run would take, or the bits would differ."""
    folder: Path
    """Where the command was given: paths are relative to it."""
    overwrite: bool = False
    batch_size: int | None = None

    def casework(self, place: Place, show: Show, engine: Callable[[], Engine]) -> Casework:
        """The same work as that of a plain run."""
        how = (self.request, self.output, self.about, place, engine, show, self.overwrite, self.batch_size)
        return Casework(*how)


@dataclass(frozen=True)
class Note:
    """What a process did with a case, or that it is ready."""

    told: tuple[tuple[str, Any], ...] = ()
    """What a plain run would have shown, in its order."""
    error: str = ""
    """A sentence, if it could not be done."""
    again: bool = False
    """Whether that may have been bad luck."""
    skipped: bool = False
    """Whether there was nothing left to do."""
    kept: bool = False
    """Whether its files are written."""
    size: int = 0
    """Bytes of the image."""
    seconds: float = 0.0
    pid: int = field(default_factory=os.getpid)
    node: str = field(default_factory=platform.node)


class Heard(Show):
    """Keeps what is said, for the process that has a screen."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.told: list[tuple[str, Any]] = []

    def say(self, sentence: str) -> None:
        """For the person in front of it."""
        self.told.append(("say", sentence))

    def event(self, kind: str, **facts: object) -> None:
        """For programs."""
        self.told.append(("event", {"kind": kind, **facts}))


def repeat(note: Note, show: Show) -> None:
    """As if it had happened here."""
    for kind, what in note.told:
        if kind == "say":
            show.say(what)
        elif kind == "event":
            show.event(**what)
        else:
            warnings.warn_explicit(what, io.ImageWarning, "archive", 0)


class Begun(Protocol):
    """What every process is told."""

    @property
    def threads(self) -> int:
        """Of its computations."""

    @property
    def folder(self) -> Path:
        """Where the command was given."""


E = TypeVar("E", bound=Begun)


class Worker(Generic[E]):
    """A process, and where it begins."""

    def __init__(self, errand: E) -> None:
        self.errand = errand
        with suppress(OSError):  # of a cluster whose machines share only some folders: absolute paths lead there
            os.chdir(errand.folder)
        os.environ["BOLTZFORMER_THREADS"] = str(errand.threads)
        torch.set_num_threads(errand.threads)

    def ready(self) -> tuple[Note, Place | None]:
        """Once it can work."""
        return Note(), None

    def _noted(self, work: Callable[[Heard], tuple[Note, Any]]) -> tuple[Note, Any]:
        """Whatever happens, with all that was said meanwhile."""
        heard, began, made = Heard(), time.perf_counter(), None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", io.ImageWarning)
            try:
                note, made = work(heard)
            except BoltzFormerError as error:
                note = Note(error=str(error))
            except Exception as error:
                note = Note(error=sentence_about(error), again=True)
        seen = [("warning", str(one.message)) for one in caught if issubclass(one.category, io.ImageWarning)]
        return replace(note, told=(*seen, *heard.told), seconds=time.perf_counter() - began), made


class Reader(Worker[Errand]):
    """Opens images."""

    def read(self, case: Case, place: Place) -> tuple[Note, Opened | None]:
        """Nothing where an earlier run had finished it."""

        def work(heard: Heard) -> tuple[Note, Opened | None]:
            opened = self.errand.casework(place, heard, _no_engine).opened(case)
            return Note(skipped=opened is None, size=0 if opened is None else opened.volume.array.nbytes), opened

        return self._noted(work)


class Model(Worker[Errand]):
    """Has the model."""

    def ready(self) -> tuple[Note, Place | None]:
        """Where it runs."""

        def work(_: Heard) -> tuple[Note, Place]:
            self.engine = same_model(self.errand.about, self.errand.device, self.errand.precision)
            return Note(), self.engine.place

        return self._noted(work)

    def answer(self, opened: Opened) -> tuple[Note, Answered | None]:
        """Pictures of looks need the model, so where they are asked for, it is here that all files are written."""

        def work(heard: Heard) -> tuple[Note, Answered | None]:
            casework = self.errand.casework(self.engine.place, heard, lambda: self.engine)
            answered = casework.answered(opened)
            if not self.errand.request.sampling_maps:
                return Note(), answered.alone()
            return Note(skipped=casework.kept(opened, answered) is None, kept=True), None

        found = self._noted(work)
        self.engine.features.clear()  # of this image, which nobody asks about again
        return found


class Writer(Worker[Errand]):
    """Writes masks and all that belongs to them."""

    def write(self, opened: Opened, answered: Answered, place: Place) -> tuple[Note, None]:
        """All of a case's files, or none."""

        def work(heard: Heard) -> tuple[Note, None]:
            story = self.errand.casework(place, heard, _no_engine).kept(opened, answered)
            return Note(skipped=story is None, kept=True), None

        return self._noted(work)


def _no_engine() -> Engine:
    raise AssertionError("who reads or writes has no model")


def same_model(wanted: Checkpoint, device: str, precision: str) -> Engine:
    """An engine with it, on this machine."""
    about = checkpoint.read(wanted.path)
    if about.sha256 != wanted.sha256:
        raise BoltzFormerError(
            f"{about.path} on {platform.node()} is another model than here: put the same file there."
        )
    return load(about.path, device=device, dtype=precision)


CONTEXT_BYTES = 1_000_000_000
"""Of CUDA itself and its libraries, for each process."""
MOST_PER_DEVICE = 4


def models_per_device(config: ModelConfig, parameters: int, memory: int) -> int:
    """How many of this model fit a GPU beside each other, each with four slices at work and its features kept."""
    each = 4 * parameters + 4 * WORK_PER_FEATURES * feature_bytes(config) + CACHE_BYTES + CONTEXT_BYTES
    return max(1, min(MOST_PER_DEVICE, int(0.9 * memory / each)))


def memory_of_device() -> int:
    """Of the GPU that this process was given, in bytes; 0 where torch sees none."""
    return torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
