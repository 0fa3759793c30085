"""`Teaching`: what a session can be asked about fine-tuning and evaluating. All of it runs beside the backend."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boltzformer.client.backend import Backend
from boltzformer.client.errand import Errand
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
