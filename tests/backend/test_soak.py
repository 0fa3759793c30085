"""Four clients at once for minutes: each gets the masks of its own volume, and nothing stays behind."""

import os
import random
import threading
import time
from pathlib import Path

import pytest
from serving import MODEL, Served, serving

import boltzformer
from boltzformer import Prediction, Session, SliceResult
from boltzformer.io.phantom import BRIGHT, DARK, phantom

SECONDS = float(os.environ.get("BOLTZFORMER_SOAK_SECONDS", "180"))
SHAPE = (12, 64, 64)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def one_client(served: Served, seed: int, until: float, wanted: dict[str, str], wrong: list[str]) -> None:
    rng = random.Random(seed)
    made = phantom(seed, SHAPE)
    with served.session() as session:
        while time.monotonic() < until and not wrong:
            try:
                wrong += one_visit(session, made.volume, rng, wanted)
            except Exception as error:  # whatever it was: the test must hear of it
                wrong.append(f"client {seed}: {type(error).__name__}: {error}")


def one_visit(session: Session, volume: boltzformer.Volume, rng: random.Random, wanted: dict[str, str]) -> list[str]:
    """What a user does next: a whole run, one that is cancelled, a few slices, a look at the sampler."""
    what = rng.choice(("whole", "whole", "cancelled", "some", "trace"))
    prompt = rng.choice((BRIGHT, DARK))
    if what == "trace":
        return [] if len(session.trace(volume, prompt, rng.randrange(SHAPE[0])).layers) == 9 else ["a short trace"]
    if what == "some":
        slices = rng.sample(range(SHAPE[0]), 2)
        answer = session.segment(volume, prompt, slices=slices).result()
        return [] if [one.index for one in answer.slices] == sorted(slices) else ["other slices"]
    job = session.segment(volume, prompt, start=rng.randrange(SHAPE[0]))
    for event in job:
        if isinstance(event, SliceResult) and what == "cancelled":
            job.cancel()
        if isinstance(event, Prediction):
            same = event.provenance["logits sha256"] == wanted[prompt]
            return [] if same else ["the masks of another volume"]
    return [] if what == "cancelled" else ["no prediction"]


@pytest.mark.slow
def test_four_clients_for_minutes_leave_nothing_behind(engine: boltzformer.Engine) -> None:
    wanted = {
        seed: {
            prompt: boltzformer.segment(phantom(seed, SHAPE).volume, prompt, model=engine).provenance["logits sha256"]
            for prompt in (BRIGHT, DARK)
        }
        for seed in range(4)
    }
    with serving(keep_seconds=2, sweep_seconds=0.2) as served:
        served.backend.load(MODEL).result()
        before, files = served.http.get("/health").json(), open_files()
        wrong: list[str] = []
        until = time.monotonic() + SECONDS
        clients = [
            threading.Thread(target=one_client, args=(served, seed, until, wanted[seed], wrong)) for seed in range(4)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert wrong == []
        give_up = time.monotonic() + 30
        while served.http.get("/health").json()["jobs"] and time.monotonic() < give_up:
            pass  # one that was cancelled ends after the slice in hand, and keeps its features
        served.backend.free().result()  # features of images stay under their budget until somebody asks
        served.backend.load(MODEL).result()
        after = None
        while after != before and time.monotonic() < give_up:  # what was kept is swept after 2 s
            after = served.http.get("/health").json()
        assert after == before
        while open_files() > files and time.monotonic() < give_up:
            pass
        assert open_files() <= files
