"""`Errand`: what runs as a process of its own, seen from here; it goes on without us, and is found again. `Teaching`:
what a session can be asked about fine-tuning and evaluating."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from boltzformer.client.backend import PATIENCE, Backend, Connected, Refused
from boltzformer.errors import BackendError, BoltzFormerError
from boltzformer.protocol import (
    DatasetPath,
    ErrandFolder,
    ErrandState,
    EvaluateRequest,
    FinetunePlan,
    FinetuneRequest,
    Holding,
    Lineage,
    Means,
    ModelName,
    PromoteRequest,
)
from boltzformer.types import Failed, Progress

ASK_S = 0.5
"""Seconds between two questions."""

Told = Progress | ErrandState | Failed


class Errand:
    """A thread of its own asks how far it is: `poll` never waits.

    Every step comes once as `Progress`; an `ErrandState` (without its curve) follows whenever something else changed.
    The last event is an `ErrandState` that is not running, or `Failed`.
    """

    def __init__(self, session: Connected, output: str) -> None:
        self.output = output
        self.state: ErrandState | None = None
        """The last that was handed out."""
        self._session = session
        self._events: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._done = False
        self._left = threading.Event()

    # --- for whoever holds it ------------------------------------------------------------------------------------

    def poll(self, most: int = 200) -> list[Told]:
        """The next events, if any have come."""
        events: list[Told] = []
        with suppress(queue.Empty):
            while len(events) < most and not self._done:
                events.append(self._take(wait=False))
        return events

    def __iter__(self) -> Iterator[Told]:
        while not self._done:
            yield self._take(wait=True)

    def result(self) -> ErrandState:
        """Waits for the end; raises where it failed."""
        for event in self:
            match event:
                case Failed(error) | ErrandState(state="failed", error=error):
                    raise BackendError(error)
                case ErrandState() if event.state != "running":
                    return event
                case _:
                    pass
        raise BackendError("The result was taken before: ask the session for its state.")

    def stop(self) -> None:
        """Asks it to end after the step in hand and to keep the best so far; returns at once."""
        threading.Thread(target=self._stop, name="stop", daemon=True).start()

    def leave(self) -> None:
        """Asks no more; the process goes on."""
        self._left.set()

    def _take(self, *, wait: bool) -> Told:
        event = self._events.get(wait)
        match event:
            case ErrandState():
                self.state, self._done = event, event.state != "running"
            case Failed():
                self._done = True
            case _:
                pass
        return event

    # --- on threads of its own -----------------------------------------------------------------------------------

    def _stop(self) -> None:
        try:
            self._ask("/errands/stop", asdict(ErrandFolder(self.output)))
        except BoltzFormerError as error:
            self._events.put(Failed(str(error)))

    def _run(self, begin: str, request: Mapping[str, Any]) -> None:
        """Begins it where there is something to begin; then asks until it has ended."""
        try:
            if begin:
                self._ask(begin, request)
            self._follow()
        except BoltzFormerError as error:
            self._events.put(Failed(str(error)))
        except Exception as error:  # the viewer must hear an end, whatever it was
            self._events.put(
                Failed(f"The run can't be followed ({type(error).__name__}: {error}). It goes on; look again later.")
            )

    def _follow(self) -> None:
        after, before, heard = 0, None, time.monotonic()
        while not self._left.is_set():
            try:
                state = self._ask("/errands/state", asdict(ErrandFolder(self.output, after)))
            except Refused:
                raise
            except BackendError:  # it died and a fresh one is on its way, or it is gone for good
                if time.monotonic() - heard > PATIENCE:
                    raise
                self._left.wait(ASK_S)
                continue
            heard = time.monotonic()
            for row in state.curve:
                after = int(row["step"])
                losses = {name: value for name, value in row.items() if name not in ("step", "seconds")}
                self._events.put(Progress(after, state.steps, losses))
            more, state = bool(state.curve), replace(state, curve=[])
            if state.state != "running" and more:
                continue  # the rest of the curve first
            if state != before:
                self._events.put(state)
                before = state
            if state.state != "running":
                return
            self._left.wait(ASK_S)

    def _ask(self, path: str, content: Mapping[str, Any]) -> ErrandState:
        return ErrandState(**self._session.backend().ask("POST", path, json=content).json())


PathLike = str | Path


class Teaching(ABC):
    """Of a session whose backend runs on this computer, for its own user: it may name files."""

    model: str
    means: Means

    @abstractmethod
    def backend(self) -> Backend:
        """The living backend."""

    def finetune(self, dataset: PathLike, output: PathLike, *, model: PathLike | None = None, **how: Any) -> Errand:
        """Teaches a model from accepted masks, as a process of its own: it outlives this program and its backend.

        Returns at once. `output` is the folder of the run, by which it is found again; the model is in it. `how` are
        the other fields of `protocol.FinetuneRequest`: mode, steps, epochs, minutes, seed, batch, rate, replay, anchor,
        targets, threads, device.
        """
        request = self.finetune_request(dataset, output, model=model, **how)
        return self._errand(request.output, "/errands/finetune", asdict(request))

    def finetune_request(
        self, dataset: PathLike, output: PathLike, *, model: PathLike | None = None, **how: Any
    ) -> FinetuneRequest:
        """What `finetune` and `plan` ask, with the means of this session; `.arguments()` say the same in a terminal."""
        how["targets"] = list(how.get("targets", ()))
        if how.get("device", "auto") == "auto":
            how["device"] = self.means.device
        how["threads"] = how.get("threads") or self.means.threads
        return FinetuneRequest(_whole(dataset), _whole(output), self._named(model), **how)

    def plan(self, request: FinetuneRequest) -> FinetunePlan:
        """Memory and time of a fine-tuning, by mode; waits some seconds for the answer. Nothing is begun."""
        return FinetunePlan(**self._answer("/errands/plan", asdict(request)))

    def evaluate(
        self,
        manifest: PathLike,
        output: PathLike,
        *,
        model: PathLike | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> Errand:
        """Asks for every row of a manifest and scores the answers, as a process of its own. Returns at once."""
        request = EvaluateRequest(_whole(manifest), _whole(output), self._named(model), seed, device)
        return self._errand(request.output, "/errands/evaluate", asdict(request))

    def resume(self, output: PathLike) -> Errand:
        """Goes on with a fine-tuning that was stopped or killed, to the weights of the uninterrupted one."""
        folder = ErrandFolder(_whole(output))
        return self._errand(folder.output, "/errands/resume", asdict(folder))

    def follow(self, output: PathLike) -> Errand:
        """The events of a run that is under way or has ended, whoever began it: from its first step on."""
        return self._errand(_whole(output), "", {})

    def finetuning(self, output: PathLike, after: int = 0) -> ErrandState:
        """How far a run is, whoever began it. Waits for the answer."""
        return ErrandState(**self._answer("/errands/state", asdict(ErrandFolder(_whole(output), after))))

    def stop(self, output: PathLike) -> ErrandState:
        """Asks a run to end after the step in hand, and to keep the best so far."""
        return ErrandState(**self._answer("/errands/stop", asdict(ErrandFolder(_whole(output)))))

    def holding(self, dataset: PathLike) -> Holding:
        """What a dataset or manifest holds for a fine-tuning, and what it lacks."""
        return Holding(**self._answer("/datasets/holding", asdict(DatasetPath(_whole(dataset)))))

    def promote(self, run: PathLike, name: str, *, anyway: bool = False, note: str = "") -> Lineage:
        """The model of a run takes a name, if the gate let it pass or `anyway`; what had the name is kept."""
        request = PromoteRequest(_whole(run), name, anyway, note)
        return Lineage(**self._answer("/models/promote", asdict(request)))

    def roll_back(self, name: str) -> Lineage:
        """The model before this one gets the name back."""
        return Lineage(**self._answer("/models/rollback", asdict(ModelName(name))))

    def lineage(self, name: str) -> Lineage:
        """Which models carried a name, oldest first."""
        return Lineage(**self.backend().ask("GET", f"/models/{name}/lineage").json())

    def _named(self, model: PathLike | None) -> str:
        name = self.model if model is None else str(model)
        return _whole(name) if name.endswith(".safetensors") else name

    def _errand(self, output: str, begin: str, request: dict[str, Any]) -> Errand:
        errand = Errand(self, output)
        threading.Thread(target=errand._run, args=(begin, request), name="errand", daemon=True).start()
        return errand

    def _answer(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.backend().ask("POST", path, json=content).json()
        return answer


def _whole(path: PathLike) -> str:
    return str(Path(path).expanduser().absolute())
