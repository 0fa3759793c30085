"""The routes of models that lie on the hub."""

from __future__ import annotations

from fastapi import FastAPI

from boltzformer.protocol import ROOT, HubOffer, HubPlace, HubState
from boltzformer.server.downloads import Downloads


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
