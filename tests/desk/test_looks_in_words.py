"""What is said of looks names what was looked at, and what was looked for."""

import numpy as np
import pytest

from boltzformer import Grid, LookTrace, SamplingTrace, SlicePlan
from boltzformer.desk.looks.looks import Looks, caption, headline


def looks(count: int, *visited: float, masked: float = 0.0, drawn: bool = True) -> Looks:
    """Of an image with so many slices; a part of the one that was looked at is masked."""
    mask = np.arange(256).reshape(16, 16) < 256 * masked
    plan, chance = SlicePlan.of(Grid.pixels((count, 16, 16)), 16), np.zeros((4, 4), np.float32)
    chance[0] = 0.1 if drawn else 0.0
    traces = tuple(LookTrace(4, 1.0, chance * 0, chance, np.full((4, 4), one, np.float32)) for one in visited)
    picture = np.full((16, 16, 3), 100, np.uint8)
    return Looks("nucleus & <b>wall</b>", 0, 0, picture, plan, SamplingTrace(traces), mask)


@pytest.mark.parametrize(("count", "thing", "place"), [(1, "picture", "this picture"), (3, "slice", "slice 0")])
def test_a_picture_is_no_slice(count: int, thing: str, place: str) -> None:
    seen = looks(count, 0.1, 0.05)
    assert seen.place == place
    assert headline(seen) == f"No mask in this {thing}. Look 1 visited 10 % of it; look 2: 5 %."
    assert headline(looks(count, 0.1, 0.05, masked=1.0)).startswith(f"The mask is the whole {thing}. ")
    assert headline(looks(count, 0.1, 0.75)).endswith(f"still visited 75 % of the {thing}.")
    assert headline(looks(count, 1.0, drawn=False)).endswith(f"each look visits the whole {thing}.")
    assert caption(looks(count, 1.0, drawn=False)).startswith(f"The model looks at the {thing} once and ")


def test_what_was_looked_for_is_called_by_its_name() -> None:
    assert "Lit means *looked at*, not *nucleus & <b>wall</b>*; the white outline" in caption(looks(1, 0.1, 0.05))
