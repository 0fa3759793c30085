"""A mask that is begun from labels moves no slider, and is named apart from the others."""

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid
from boltzformer.desk.models.knowledge import Knowledge
from boltzformer.desk.ports import Mask

pytestmark = pytest.mark.without_engine

VOXELS = (2, 20, 20)


def labels() -> Mask:
    found = np.zeros(VOXELS, bool)
    found[1, 5:9, 5:9] = True
    return found


@pytest.mark.parametrize("beside", [False, True])
def test_the_score_from_which_masks_are_shown_stays(bench: Bench, beside: bool) -> None:
    bench.desk.knowledge = Knowledge(asked=True, gate=0.3)
    image = bench.open(Grid.from_lps(VOXELS, np.eye(4)))
    if beside:
        bench.answered(image, "edema", labels()).gate = 0.7  # of the model that was in use then
        bench.desk.overview.show_tracks()
    sliders = bench.desk.overview.reapplying
    stood = sliders.thresholds
    assert stood.existence == (0.7 if beside else 0.3)
    bench.desk.begin_from(image, labels(), "theirs", "tumor")
    assert sliders.thresholds == stood
    bench.desk.begin_from(image, labels(), "theirs", "edema")
    assert sliders.thresholds == stood


def test_two_of_one_target_are_named_apart_as_those_of_two_phrasings_are(bench: Bench) -> None:
    image = bench.open(Grid.from_lps(VOXELS, np.eye(4)))
    for text in ("left atrium in cardiac MRI", "left atrium in cardiac CT"):
        bench.desk.begin_from(image, labels(), "theirs", text)
    bench.answered(image, "cell", labels()).surface.name = "nucleus"  # as a person calls it
    bench.desk.begin_from(image, labels(), "theirs", "nucleus")
    names = [track.name for track in bench.desk.tracks.of(image)]
    assert names == ["left atrium", "left atrium (CT)", "nucleus", "nucleus (2)"]
