"""`Downloads`: models from the hub, one at a time, on a thread of its own; terms first, and only then the file."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from boltzformer.errors import BoltzFormerError
from boltzformer.home import model_file
from boltzformer.protocol import HubOffer, HubState
from boltzformer.server.refusals import Conflict, Forbidden, NotFound, sentence_about

if TYPE_CHECKING:
    from boltzformer.weights.hub import Spot

CARD_CHARACTERS = 20_000
"""So much of a card is passed on."""


class Downloads:
    """For the routes, which wait in threads of theirs. An interrupted download goes on where it was."""

    def __init__(self, *, own_files: bool) -> None:
        self._own_files = own_files
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._now: HubState | None = None

    def offer(self, what: str) -> HubOffer:
        """Asks the hub; the file itself stays there."""
        from boltzformer.weights import hub
        from boltzformer.weights.hub import licence_in

        spot = self._spot(what)
        if model_file(spot.name).is_file():
            raise Conflict(f"{what} is here already: choose '{spot.name}' in the list of models.")
        first = next(hub.fetch(spot))  # the file would follow
        if isinstance(first, hub.Offered):
            licence, card, size = first.licence, first.card, first.size
        else:
            card, size = (first.card if isinstance(first, hub.Fetched) else ""), 0
            licence = licence_in(card)
        return HubOffer(str(spot), spot.name, size, licence, card[:CARD_CHARACTERS], hub.page(spot.repo))

    def begin(self, what: str) -> HubState:
        """Downloads, checks, converts and registers it."""
        spot = self._spot(what)
        with self._lock:
            if self._now is not None and self._now.state == "running":
                raise Conflict(f"{self._now.what} is being downloaded: stop that, or wait for its end.")
            self._stop = threading.Event()
            self._now = begun = HubState(str(spot), "running")
        threading.Thread(target=self._run, args=(begun, self._stop), name="download", daemon=True).start()
        return begun

    def state(self, what: str) -> HubState:
        """How far it is."""
        spot = self._spot(what)
        if self._now is None or self._now.what != str(spot):
            raise NotFound(f"{what} is not being downloaded: begin it first.")
        return self._now

    def stop(self, what: str) -> HubState:
        """At the next block; what has come stays for another time."""
        now = self.state(what)
        self._stop.set()
        return now

    def _run(self, now: HubState, stop: threading.Event) -> None:
        from boltzformer.weights import hub, registry
        from boltzformer.weights.download import Received

        try:
            for event in registry.get(now.what):
                match event:
                    case Received():
                        now = replace(now, done=event.done, total=event.total)
                    case hub.Fetched():
                        now = replace(now, converting=True)
                    case registry.Registered():
                        now = replace(now, state="finished", name=event.name)
                    case _:
                        pass
                if stop.is_set() and now.state == "running":
                    now = replace(now, state="stopped")
                self._now = now
                if now.state == "stopped":
                    return
        except BoltzFormerError as error:
            self._now = replace(now, state="failed", error=str(error))
        except Exception as error:  # whoever waits for it must hear an end
            self._now = replace(now, state="failed", error=sentence_about(error))

    def _spot(self, what: str) -> Spot:
        from boltzformer.weights import hub

        if not self._own_files:
            raise Forbidden("This backend's models are its owner's: get the model there.")
        spot = hub.spot_of(what)
        if spot is None:
            raise BoltzFormerError(
                f"{what[:200]!a} names nothing on the hub: give owner/repository, or owner/repository:file."
            )
        return spot
