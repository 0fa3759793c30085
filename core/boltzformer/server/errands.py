"""`Errands`: begins what runs as a process of its own, and stops it. Whatever else it tells, it reads from folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boltzformer.atomic import private_folder, write_text
from boltzformer.dataset.holding import holding
from boltzformer.errors import BoltzFormerError
from boltzformer.knowledge.manifest import read_manifest
from boltzformer.protocol import (
    ErrandState,
    EvaluateRequest,
    FinetunePlan,
    FinetuneRequest,
    Holding,
    Lineage,
    PromoteRequest,
    command_line,
)
from boltzformer.server.refusals import Conflict, Forbidden, NotFound
from boltzformer.server.telling import ASKED, ENDED, LINES, PID, PLACE, SAID, asked_for, running, state_of
from boltzformer.weights import registry

Request = FinetuneRequest | EvaluateRequest
START_SECONDS = 30.0
"""So long a process may take to say that it is there."""
PLAN_SECONDS = 300.0
BUSY = "{} is being worked in by another process right now: wait for it or stop it, or choose another folder."


class Errands:
    """For the routes; every call may wait, so it runs in a thread of theirs and never on the worker's."""

    def __init__(self, *, own_files: bool) -> None:
        self._own_files = own_files
        self._begun: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def finetune(self, request: FinetuneRequest) -> ErrandState:
        """Begins one; what can be refused without loading a model is refused here."""
        output = self._place(request.output)
        found = holding(self._place(request.source))
        if not found.targets:
            raise BoltzFormerError(found.sentence)
        if any((output / name).exists() for name in ("config.json", "model.safetensors", "done.json")):
            raise Conflict(f"{output} already holds a run: resume it, or choose a new folder.")
        _demand_sense(request)
        return self._begin(output, "finetune", request)

    def evaluate(self, request: EvaluateRequest) -> ErrandState:
        """Begins one."""
        output = self._place(request.output)
        read_manifest(self._place(request.manifest))
        return self._begin(output, "evaluate", request)

    def resume(self, folder: str) -> ErrandState:
        """Goes on with a fine-tuning; with one that is finished nothing happens."""
        output = self._place(folder)
        request = asked_for(output)
        if not isinstance(request, FinetuneRequest):
            raise NotFound(f"{output} holds no fine-tuning to go on with: give the folder of one.")
        told = state_of(output)
        return told if told.state == "finished" else self._begin(output, "finetune", request, "--resume")

    def state(self, folder: str, after: int = 0) -> ErrandState:
        """Also of one that another backend began, or a terminal."""
        output = self._place(folder)
        with self._lock:  # one that is just being begun is not there yet
            self._begun = [one for one in self._begun if one.poll() is None]  # the ended ones are buried
        return state_of(output, after)

    def stop(self, folder: str) -> ErrandState:
        """Asks it to end after the step in hand and to keep the best so far; what has ended stays as it is.

        Windows knows no asking: there it ends at once, and goes on from what was saved.
        """
        output = self._place(folder)
        if running(output):
            try:
                os.kill(int((output / PLACE / PID).read_text("utf-8")), signal.SIGTERM)
            except (OSError, ValueError) as error:
                raise Conflict(
                    f"The process that works in {output} was started elsewhere: stop it there, with Ctrl+C."
                ) from error
        return self.state(folder)

    def plan(self, request: FinetuneRequest) -> FinetunePlan:
        """What it would take, by a dry run in a process of its own; nothing is written."""
        self._place(request.output)
        found = holding(self._place(request.source))
        if not found.targets:
            raise BoltzFormerError(found.sentence)
        _demand_sense(request)
        arguments = [sys.executable, "-m", "boltzformer", *request.arguments(), "--dry-run", "--json"]
        try:
            done = subprocess.run(
                arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PLAN_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BoltzFormerError(
                "The plan took longer than 5 minutes: the computer is too busy, try later."
            ) from error
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        facts: dict[str, Any] = next((line for line in lines if line.get("event") == "plan"), {})
        if done.returncode or not facts:
            words = done.stderr.strip().splitlines() or ["the plan ended without a word."]
            raise BoltzFormerError(words[-1].removeprefix("boltzformer: "))
        return FinetunePlan(facts, found_notes(lines), command_line(request.arguments()))

    def holding(self, path: str) -> Holding:
        """What a dataset or manifest holds and lacks."""
        return holding(self._place(path))

    def promote(self, request: PromoteRequest) -> Lineage:
        """The model of a run takes a name."""
        from boltzformer.weights import promotion

        run = self._place(request.run)
        promotion.promote(run, self._name(request.name), anyway=request.anyway, note=request.note)
        return self.lineage(request.name)

    def roll_back(self, name: str) -> Lineage:
        """The model before this one gets the name back."""
        from boltzformer.weights import promotion

        promotion.roll_back(self._name(name))
        return self.lineage(name)

    def lineage(self, name: str) -> Lineage:
        """Which models carried a name."""
        from boltzformer.weights import promotion

        return Lineage(name, promotion.history_of(self._name(name)))

    def _begin(self, output: Path, kind: str, request: Request, *more: str) -> ErrandState:
        place = output / PLACE
        with self._lock:
            if running(output):
                raise Conflict(BUSY.format(output))
            try:
                private_folder(output)
                private_folder(place)
                for name in (PID, ENDED):
                    (place / name).unlink(missing_ok=True)
                write_text(place / ASKED, json.dumps({"kind": kind, "request": asdict(request)}))
                with (place / LINES).open("ab") as lines, (place / SAID).open("wb") as said:
                    lines.write(b'\n{"event": "begun"}\n')  # what an earlier life said is told as past
                    lines.flush()
                    arguments = [*request.arguments(), "--json", *more]
                    process = subprocess.Popen(
                        [sys.executable, "-m", "boltzformer.cli.errand", str(output), *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=lines,
                        stderr=said,
                        start_new_session=True,  # it outlives us, and our terminal
                        creationflags=_apart() if os.name == "nt" else 0,
                    )
            except OSError as error:
                raise BoltzFormerError(
                    f"{output} can't be written ({error.strerror or error}): choose another folder."
                ) from error
            self._begun.append(process)
            until = time.monotonic() + START_SECONDS
            while not (place / PID).is_file() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)  # from its first word on, its lock tells that it runs
        return self.state(str(output))

    def _place(self, path: str) -> Path:
        """A path that the owner named."""
        if not self._own_files:
            raise Forbidden("This backend opens no files of its computer: fine-tune and evaluate there.")
        place = Path(path)
        try:
            if "\0" not in path and place.is_absolute():
                place.exists()  # raises where the system can't hold such a name
                return place
        except (OSError, ValueError):
            pass
        raise BoltzFormerError(f"{path[:200]!a} is no whole path: give one from the root of this computer.")

    def _name(self, name: str) -> str:
        if not self._own_files:
            raise Forbidden("This backend's models are its owner's: promote and roll back there.")
        from boltzformer.weights.registry import demand_name

        return demand_name(name)


def _demand_sense(request: FinetuneRequest) -> None:
    """Options that fit together and a model that can be read: said here, before a process has loaded anything."""
    from boltzformer.learn.finetune.options import Options
    from boltzformer.weights import checkpoint

    asked = {name: value for name, value in asdict(request).items() if name not in ("source", "output", "targets")}
    Options(Path(request.source), targets=tuple(request.targets), **asked)
    if "/" not in request.model or request.model.endswith(".safetensors"):
        checkpoint.read(registry.resolve(request.model))  # others lie on the hub, and are fetched by the process


def found_notes(lines: list[dict[str, Any]]) -> list[str]:
    """The sentences among them."""
    return [str(line["text"]) for line in lines if line.get("event") == "note"]


def _apart() -> int:
    """Windows: no window, no part in our group's end, below normal priority."""
    names = ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
    return sum(int(getattr(subprocess, name, 0)) for name in names)
