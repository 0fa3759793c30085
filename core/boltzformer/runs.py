"""All cases of a call, one after the other: a bad one is told at the end and stops no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from boltzformer import io
from boltzformer.cases import find_cases
from boltzformer.casework import Casework, differences
from boltzformer.checkpoint import Checkpoint
from boltzformer.engine import Engine, load
from boltzformer.errors import BoltzFormerError
from boltzformer.show import Show

NOT_THE_SAME, SOME_FAILED = 1, 3


def engine_of(about: Checkpoint, show: Show) -> Callable[[], Engine]:
    """The engine, loaded when first asked for."""

    @cache
    def engine() -> Engine:
        show.say(f"Model '{about.history.name}': {about.history.data}.")
        return load(about.path)

    return engine


def run_all(work: Casework, inputs: Sequence[Path]) -> int:
    """The exit code. What is wrong with the only case is raised."""
    cases = find_cases(inputs, work.output)
    if len(cases) > 1 and (io.split_name(work.output)[1] or work.expected is not None):
        what = "--reproduce repeats one image" if work.expected is not None else f"{work.output} is one file"
        raise BoltzFormerError(f"{what}, but {len(cases)} images are given: give one image, or a folder as output.")
    failed: dict[str, str] = {}
    different: list[str] | None = None
    work.show.cases(len(cases))
    for case in cases:
        try:
            story = work.run(case)
            if story is not None and work.expected is not None:
                different = _compared(work, story)
        except BoltzFormerError as error:
            if len(cases) == 1:
                raise
            failed[case.name] = str(error)
            work.show.event("failed", case=case.name, error=str(error))
        finally:
            work.show.case_done()
    if failed:
        work.show.say(f"{len(failed)} of {len(cases)} images failed:")
        for name, sentence in failed.items():
            work.show.say(f"  {name}: {sentence}")
    return SOME_FAILED if failed else NOT_THE_SAME if different else 0


def _compared(work: Casework, story: dict[str, object]) -> list[str]:
    """Says whether the masks are those of the provenance, and what is different here if not."""
    told = work.expected or {}
    different = differences(told, story)
    if "masks" not in told:
        work.show.note("the provenance holds no hash of its masks, so only the way they were made can be compared.")
        different = [part for part in different if part != "masks"]
    work.show.event("reproduced", same=not different, different=different)
    if not different:
        work.show.say("reproduced: the same masks, bit for bit." if "masks" in told else "made again in the same way.")
    for part in different:
        work.show.say(f"not the same here: {part} was {told.get(part)}, is {story.get(part)}")
    return different
