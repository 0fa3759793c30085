"""The routes of what runs as a process of its own, of models that take a name or give it back, and of those on the
hub."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Path

from boltzformer.protocol import (
    ROOT,
    DatasetPath,
    ErrandFolder,
    ErrandState,
    EvaluateRequest,
    FinetunePlan,
    FinetuneRequest,
    Holding,
    HubOffer,
    HubPlace,
    HubState,
    Lineage,
    ModelName,
    PromoteRequest,
)
from boltzformer.server.downloads import Downloads
from boltzformer.server.errands import Errands


def about_errands(app: FastAPI, errands: Errands) -> None:
    """Each of them waits in a thread of its own: the worker goes on segmenting."""

    @app.post(f"{ROOT}/datasets/holding")
    def what_it_holds(dataset: DatasetPath) -> Holding:
        """What a dataset or manifest holds for a fine-tuning, and what it lacks."""
        return errands.holding(dataset.path)

    @app.post(f"{ROOT}/errands/plan")
    def plan(request: FinetuneRequest) -> FinetunePlan:
        """Memory and time of a fine-tuning, by mode; nothing is begun."""
        return errands.plan(request)

    @app.post(f"{ROOT}/errands/finetune", status_code=201)
    def finetune(request: FinetuneRequest) -> ErrandState:
        """Begins a fine-tuning, which outlives this backend."""
        return errands.finetune(request)

    @app.post(f"{ROOT}/errands/evaluate", status_code=201)
    def evaluate(request: EvaluateRequest) -> ErrandState:
        """Begins an evaluation, which outlives this backend."""
        return errands.evaluate(request)

    @app.post(f"{ROOT}/errands/resume", status_code=201)
    def resume(folder: ErrandFolder) -> ErrandState:
        """Goes on with a fine-tuning that was stopped or killed."""
        return errands.resume(folder.output)

    @app.post(f"{ROOT}/errands/state")
    def state(folder: ErrandFolder) -> ErrandState:
        """How far it is, whoever began it."""
        return errands.state(folder.output, folder.after)

    @app.post(f"{ROOT}/errands/stop")
    def stop(folder: ErrandFolder) -> ErrandState:
        """Asks it to end after the step in hand, and to keep the best so far."""
        return errands.stop(folder.output)

    @app.post(f"{ROOT}/models/promote")
    def promote(request: PromoteRequest) -> Lineage:
        """A fine-tuned model takes a name; what had it before is kept."""
        return errands.promote(request)

    @app.post(f"{ROOT}/models/rollback")
    def roll_back(model: ModelName) -> Lineage:
        """The model before this one gets the name back."""
        return errands.roll_back(model.name)

    @app.get(ROOT + "/models/{name}/lineage")
    def lineage(name: Annotated[str, Path(max_length=80)]) -> Lineage:
        """Which models carried a name."""
        return errands.lineage(name)


def about_hub(app: FastAPI, downloads: Downloads) -> None:
    """Each of them answers soon; a download goes on by itself."""

    @app.post(f"{ROOT}/models/hub/offer")
    def offer(place: HubPlace) -> HubOffer:
        """What it is and on whose terms; nothing but its card is downloaded."""
        return downloads.offer(place.what)

    @app.post(f"{ROOT}/models/hub/fetch", status_code=201)
    def fetch(place: HubPlace) -> HubState:
        """Begins to download, check and register it."""
        return downloads.begin(place.what)

    @app.post(f"{ROOT}/models/hub/state")
    def state(place: HubPlace) -> HubState:
        """How far it is."""
        return downloads.state(place.what)

    @app.post(f"{ROOT}/models/hub/stop")
    def stop(place: HubPlace) -> HubState:
        """Asks it to end at the next block; what has come stays for another time."""
        return downloads.stop(place.what)
