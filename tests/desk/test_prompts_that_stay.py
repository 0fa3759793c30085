"""Which prompts stay in the box when another image comes: those that may be meant for it."""

from dataclasses import replace

import numpy as np
import pytest
from bench import Bench

from boltzformer import Grid, Volume
from boltzformer.desk.image import OpenImage
from boltzformer.desk.keeping.one_patient import PUT_AWAY, of_its_kind

pytestmark = pytest.mark.without_engine

GRID = Grid.pixels((12, 20, 24))
KIDNEY, LESION, BLOB = "right kidney in CT", "MS lesion in brain MRI", "bright blob"
CELLS = "cell nuclei in microscopy"
GRAY = Volume(np.full(GRID.shape, 300, np.int16), GRID, name="head")
"""As NIfTI has it: no modality, and values that may be anything."""
HOUNSFIELD = replace(GRAY, array=np.where(np.indices(GRID.shape)[2] < 8, -1000, 40).astype(np.int16), name="belly")
SMEAR = Volume(np.zeros((1, 20, 24), np.uint16), Grid.pixels((1, 20, 24)), name="smear")
SCALED = replace(SMEAR, grid=Grid.from_lps((1, 20, 24), np.diag([0.0005, 0.0005, 0.002, 1.0])), name="in um")
CT = replace(GRAY, modality="CT", name="ct")


def test_what_is_measured_in_micrometres_is_microscopy_unless_its_name_says_another(bench: Bench) -> None:
    fine = Grid.from_lps(GRID.shape, np.diag([0.0005, 0.0005, 0.002, 1.0]))
    stack = bench.desk.patients.open(replace(GRAY, grid=fine, name="stack"))
    assert stack.kind == "microscopy"
    assert of_its_kind(["cell nuclei in microscopy", LESION], stack.kind) == ["cell nuclei in microscopy"]
    assert bench.desk.patients.open(replace(GRAY, grid=fine, name="oct_left")).kind == "OCT"


class Box:
    """Where prompts stand; an image that comes sorts them."""

    def __init__(self, bench: Bench) -> None:
        self.patients, self.texts = bench.desk.patients, list[str]()
        self.patients.arrived.append(self._on_arrived)

    def _on_arrived(self, image: OpenImage) -> None:
        self.texts = image.typed = self.patients.prompts_for(image, self.texts)

    def type(self, *texts: str) -> None:
        self.texts = list(texts)
        if self.patients.current is not None:
            self.patients.current.typed = list(texts)


def test_a_modality_needs_an_image_that_has_it() -> None:
    assert of_its_kind([KIDNEY, LESION, BLOB], "CT") == [KIDNEY, BLOB]
    assert of_its_kind([KIDNEY, LESION, BLOB], "") == [BLOB]


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        (CT, GRAY, [BLOB]),
        (HOUNSFIELD, GRAY, [BLOB]),
        (GRAY, HOUNSFIELD, [KIDNEY, BLOB]),
        (CT, HOUNSFIELD, [KIDNEY, BLOB]),
        (GRAY, replace(GRAY, name="another"), [KIDNEY, LESION, BLOB]),  # as from one stained section to the next
        (CT, replace(CT, name="another"), [KIDNEY, BLOB]),
        (CT, replace(CT, modality="MR"), [LESION]),  # of another kind: only what names it
        (replace(GRAY, source="head.nii"), replace(GRAY, source="head.nii"), [KIDNEY, LESION, BLOB]),
        (replace(GRAY, name="ct_belly_08"), GRAY, [BLOB]),  # its name says it
        (GRAY, replace(GRAY, name="brain-FLAIR"), [LESION, BLOB]),
        (replace(GRAY, array=GRAY.array.astype(np.uint8)), GRAY, [BLOB]),  # nobody knows either, but they differ
        (SMEAR, GRAY, []),  # a picture and a volume
        (SCALED, SMEAR, [KIDNEY, LESION, CELLS, BLOB]),  # of pictures few say their scale
        (SCALED, replace(SCALED, name="another"), [CELLS, BLOB]),
        (SMEAR, SCALED, [CELLS, BLOB]),
        (SCALED, GRAY, []),
        (SMEAR, replace(SMEAR, array=np.zeros((1, 20, 24, 3), np.uint8), name="section"), [KIDNEY, LESION, BLOB]),
    ],
)
def test_what_another_image_leaves_in_the_box(bench: Bench, before: Volume, after: Volume, stays: list[str]) -> None:
    box = Box(bench)
    bench.desk.patients.open(before)
    typed = [KIDNEY, LESION, CELLS, BLOB] if before is SCALED or after is SCALED else [KIDNEY, LESION, BLOB]
    box.type(*typed)
    bench.desk.patients.open(after)
    assert box.texts == stays


def test_what_was_typed_before_any_image_came_is_meant_for_it(bench: Bench) -> None:
    box = Box(bench)
    box.type(LESION)
    bench.desk.patients.open(GRAY)
    assert box.texts == [LESION]


def test_cases_of_one_list_keep_their_prompts_where_none_tells_its_modality(bench: Bench) -> None:
    box = Box(bench)
    bench.desk.patients.open(GRAY, case="")
    box.type(LESION)
    bench.desk.patients.open(replace(GRAY, name="next"), case="")
    assert box.texts == [LESION]
    bench.desk.patients.open(HOUNSFIELD, case="")
    assert box.texts == []


def test_a_case_list_keeps_its_prompts_also_where_one_case_is_a_single_slice(bench: Bench) -> None:
    box = Box(bench)
    bench.desk.patients.open(GRAY, case="")
    box.type(BLOB)
    bench.desk.patients.open(SMEAR, case="")
    assert box.texts == [BLOB]


def test_what_comes_back_has_its_prompts_again(bench: Bench) -> None:
    box = Box(bench)
    bench.desk.patients.open(CT)
    box.type(KIDNEY)
    bench.desk.patients.open(GRAY)
    box.type(LESION, BLOB)
    bench.desk.notice.answer(PUT_AWAY, "Undo")
    assert box.texts == [KIDNEY]  # as it was
