"""How much may be asked: the engine says so itself, so that scripts, command line and server have the same limits."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from boltzformer import BoltzFormerError, Engine
from boltzformer.cli.cli import run
from boltzformer.image.guidance import Guidance
from boltzformer.image.region import Region
from boltzformer.io.phantom import BRIGHT, Phantom
from boltzformer.protocol import SegmentRequest
from boltzformer.types import MOST_CHARACTERS, MOST_SAMPLES, Prompt

MUCH: dict[str, dict[str, object]] = {
    "samples": {"samples": MOST_SAMPLES + 1},
    "a billion samples": {"samples": 10**9},
    "a whole slice": {"size": 1024},
    "a region": {"size": 96 * 1024, "region": Region((0, 0, 0), (9, 9, 9))},
    "a negative size": {"size": -96},
    "prompts": {"prompts": [f"prompt {n}" for n in range(256)]},
    "a long prompt": {"prompts": "x" * (MOST_CHARACTERS + 1)},
}


@pytest.mark.parametrize("what", MUCH)
def test_the_engine_refuses_what_is_too_much_before_anything_is_computed(
    engine: Engine, small: Phantom, what: str
) -> None:
    how = {"prompts": BRIGHT, **MUCH[what]}
    with pytest.raises(BoltzFormerError, match=r"give|at most|ask in several"):
        engine.segment(small.volume, **how)


def test_the_most_that_may_be_asked_is_answered(engine: Engine, small: Phantom) -> None:
    text = BRIGHT + " " * (MOST_CHARACTERS - len(BRIGHT))
    *_, last = engine.segment(small.volume, text, samples=MOST_SAMPLES, slices=[3])
    assert last.slices[0].spread is not None


def test_the_command_line_and_the_server_say_the_same(
    small_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], small: Phantom
) -> None:
    for option, value in (("--samples", "65"), ("--samples", "1000000000"), ("--size", "100000"), ("-p", "x" * 2001)):
        assert run(["segment", str(small_file), "-p", BRIGHT, "-o", str(tmp_path / "out"), option, value]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("boltzformer: ")
    assert not (tmp_path / "out").exists()
    refusals: list[Callable[[], object]] = [
        lambda: Guidance(here=((1, 1, 1),) * 1001),
        lambda: SegmentRequest("", [Prompt(BRIGHT)], small.volume.window(), samples=65),
        lambda: Prompt("x" * 2001),
        lambda: Prompt("x", "y" * 2001),
    ]
    for refusal in refusals:
        with pytest.raises(BoltzFormerError):
            refusal()
    assert asdict(Prompt("x" * 2000))["text"] == "x" * 2000
