"""All cases of a call, one after the other: a bad one is told at the end and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from boltzformer import io
from boltzformer.cli.casework import Casework
from boltzformer.cli.show import Show
from boltzformer.engine.devices import Place, choose
from boltzformer.engine.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.io.cases import find_cases
from boltzformer.speaking import sentence_about
from boltzformer.weights.checkpoint import Checkpoint

NOT_THE_SAME, SOME_FAILED = 1, 3


def engine_of(about: Checkpoint, place: Place, show: Show) -> Callable[[], Engine]:
    """The engine, loaded when first asked for."""

    @cache
    def engine() -> Engine:
        show.say(f"Model '{about.history.name}': {about.history.data}.")
        show.say(f"Device {place.device}, {place.precision}. {place.why}")
        return load(about.path, device=str(place.device), dtype=place.precision)

    return engine


def place_like(told: Mapping[str, Any]) -> Place:
    """The device and precision of a provenance, where this machine has them; else what it has."""
    try:
        return choose(str(told.get("device", "auto")), str(told.get("dtype", "auto")))
    except BoltzFormerError:
        return choose()


def run_all(work: Casework, inputs: Sequence[Path]) -> int:
    """The exit code. What is wrong with the only case is raised."""
    cases = find_cases(inputs, work.output)
    if len(cases) > 1 and (io.split_name(work.output)[1] or work.expected is not None):
        what = "--reproduce repeats one image" if work.expected is not None else f"{work.output} is one file"
        raise BoltzFormerError(f"{what}, but {len(cases)} images are given: give one image, or a folder as output.")
    failed: dict[str, str] = {}
    same = True
    work.show.cases(len(cases))
    for case in cases:
        try:
            story = work.run(case)
            if story is not None and work.expected is not None:
                same = _same(work, story)
        except Exception as error:  # whatever it was, the others go on
            if len(cases) == 1:
                raise
            failed[case.name] = sentence_about(error)
            work.show.event("failed", case=case.name, error=failed[case.name])
        finally:
            work.show.case_done()
    if failed:
        work.show.say(f"{len(failed)} of {len(cases)} images failed:")
        for name, sentence in failed.items():
            work.show.say(f"  {name}: {sentence}")
    return SOME_FAILED if failed else 0 if same else NOT_THE_SAME


def _same(work: Casework, story: Mapping[str, Any]) -> bool:
    """Says whether the answers are those of the provenance; what is different here was said before."""
    same = bool(work.expected and work.expected["logits sha256"] == story["logits sha256"])
    work.show.event("reproduced", same=same)
    work.show.say("reproduced: the same answers, bit for bit." if same else "NOT reproduced bit for bit, see above.")
    return same
