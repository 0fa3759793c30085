"""The model that most tests use: it knows phantoms, whatever model the package ships as `default`."""

from dataclasses import dataclass
from pathlib import Path

from boltzformer import Engine

PHANTOM_MODEL = Path(__file__).parents[1] / "examples" / "phantom.safetensors"
"""Made by `examples/teach_phantoms.py`."""


@dataclass(frozen=True)
class Taught:
    """A model that was taught the same during these tests."""

    engine: Engine
    seconds: float
    """Of a processor, not of the clock: other programs may be busy."""
