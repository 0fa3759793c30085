"""Work of one step on a cluster: images of an evaluation, calls of a script. It makes what a plain run makes."""

from __future__ import annotations

import runpy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from boltzformer.cli.cluster_work import Heard, Note, Worker, same_model
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place, use_cores
from boltzformer.engine.engine import Engine
from boltzformer.evaluate.evaluate import Scored, answers_of, by_image, evaluate
from boltzformer.io.cases import Case
from boltzformer.knowledge.absent import Absent, Listed
from boltzformer.knowledge.manifest import Row
from boltzformer.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Workplace:
    """Which cluster, and how many processes on it; None: as many as it holds."""

    address: str
    workers: int | None


@dataclass(frozen=True)
class Evaluation:
    """What each process is told of it."""

    about: Checkpoint
    device: str
    precision: str
    threads: int
    folder: Path
    rows: tuple[Row, ...]
    listed: Listed
    drawn: tuple[Absent, ...]
    seed: int
    masks: Path | None


class Evaluator(Worker[Evaluation]):
    """Has the model, and asks and scores all that is asked about an image."""

    def ready(self) -> tuple[Note, Place | None]:
        """Where the model runs."""

        def work(_: Heard) -> tuple[Note, Place]:
            self.engine = same_model(self.errand.about, self.errand.device, self.errand.precision)
            return Note(), self.engine.place

        return self._noted(work)

    def work(self, case: Case) -> tuple[Note, list[Scored] | None]:
        """As a plain run does."""
        told = self.errand

        def work(_: Heard) -> tuple[Note, list[Scored]]:
            rows = by_image(told.rows)[case.path]
            drawn = [one for one in told.drawn if one.row.image == case.path]
            answers = answers_of(self.engine, told.seed)
            return Note(), list(evaluate(answers, rows, told.listed, drawn, seed=told.seed, masks=told.masks))

        return self._noted(work)


def evaluated(
    where: Workplace,
    engine: Engine,
    device: str,
    precision: str,
    rows: tuple[Row, ...],
    listed: Listed,
    drawn: Sequence[Absent],
    *,
    seed: int,
    masks: Path | None,
    show: Show,
) -> Iterator[Scored]:
    """In the order of a plain run."""
    _ = engine.about.sha256  # read once, here
    threads = torch.get_num_threads()
    told = Evaluation(engine.about, device, precision, threads, Path.cwd(), rows, listed, tuple(drawn), seed, masks)
    cases = [Case(image.name, image) for image in by_image(rows)]
    waiting, made = iter(cases), dict[Path, list[Scored]]()
    due = next(waiting, None)
    for case, scored in _each(where, Evaluator, told, cases, device, show, engine.place, engine.about):
        made[case.path] = scored
        while due is not None and due.path in made:
            yield from made.pop(due.path)
            due = next(waiting, None)


@dataclass(frozen=True)
class Calls:
    """Of a script's `main`, by the name of each."""

    script: Path
    arguments: Mapping[str, tuple[str, ...]]
    threads: int
    folder: Path


class Caller(Worker[Calls]):
    """Does what the script does, here: what that starts ends with this process."""

    def work(self, case: Case) -> tuple[Note, None]:
        """What it prints is for nobody."""

        def work(_: Heard) -> tuple[Note, None]:
            with redirect_stdout(StringIO()):
                runpy.run_path(str(self.errand.script), run_name=self.errand.script.stem)["main"](
                    list(self.errand.arguments[case.name])
                )
            return Note(), None

        return self._noted(work)


def called(where: Workplace, script: Path, arguments: Mapping[str, tuple[str, ...]], show: Show) -> Iterator[str]:
    """The name of each call as it ends; on a GPU each where the cluster has some."""
    use_cores()
    told = Calls(script.resolve(), dict(arguments), torch.get_num_threads(), Path.cwd())
    cases = [Case(name, Path(name)) for name in arguments]
    for case, _ in _each(where, Caller, told, cases, "auto", show):
        yield case.name


def _each(
    where: Workplace,
    role: type[Worker[Any]],
    errand: Any,
    cases: Sequence[Case],
    device: str,
    show: Show,
    place: Place | None = None,
    model: Checkpoint | None = None,
) -> Iterator[tuple[Case, Any]]:
    if not cases:
        return
    from boltzformer.cli.cluster import Each, Hand, connected, room_for  # Ray, for this alone

    with connected(where.address, show):
        room = room_for(device, errand.threads, where.workers, model)
        count = min(where.workers or room.processes, len(cases))
        yield from Each([Hand(role, errand, room.needs) for _ in range(count)], cases, show, place).run()
