"""Only what is provably absent is drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from boltzformer.evaluate.evaluate import by_image
from boltzformer.knowledge.absent import LEAST, Listed, draw, empty_window, family
from boltzformer.knowledge.manifest import Row, read_manifest

SHARED = Path(__file__).parents[2] / "../shared/data/train/manifest.jsonl"


def row(image: str, target: str, modality: str, source: str = "s", **more: object) -> Row:
    return Row(
        number=0,
        image=Path(image),
        mask=Path(f"{image}-{target}"),
        label=None,
        target=target,
        prompts=(f"{target} in {modality}", target),
        group=image,
        modality=modality,
        source=source,
        **more,  # type: ignore[arg-type]
    )


ROWS = (
    row("a", "liver", "CT"),
    row("a", "spleen", "CT"),
    row("b", "liver", "CT"),
    row("c", "liver", "MRI-FLAIR", "other"),
    row("d", "polyp", "endoscopy", "third"),
    row("e", "brain tumor", "MRI", "fourth"),
)


def test_kinds_of_mri_are_one_modality_and_pathology_is_microscopy() -> None:
    assert family("MRI-FLAIR") == family("MRI") == family("MR")
    assert family("pathology") == family("electron microscopy") == "microscopy"
    assert len({family(name) for name in ("CT", "MRI", "ultrasound", "fundus", "endoscopy", "X-ray", "OCT", "")}) == 8


def test_a_target_that_any_image_of_the_modality_shows_is_not_easy() -> None:
    listed = Listed.of(ROWS)
    easy = {one.target for one in listed.of_another_modality(ROWS[5], listed.candidates)}
    assert easy == {"spleen", "polyp"}  # the liver is listed in MRI, too


def test_without_a_modality_nothing_is_provable() -> None:
    listed = Listed.of(ROWS)
    assert not listed.of_another_modality(row("x", "thing", ""), listed.candidates)


def test_what_the_same_source_labels_elsewhere_is_hard() -> None:
    listed = Listed.of(ROWS)
    assert [one.target for one in listed.elsewhere_in_source(ROWS[2])] == ["spleen"]
    assert not listed.elsewhere_in_source(ROWS[0])
    assert not listed.elsewhere_in_source(ROWS[3])


def test_known_gaps_of_the_labels_are_never_absent_prompts() -> None:
    eyes = (row("f", "microaneurysm", "fundus", "idrid2"), row("g", "hard exudate", "fundus", "idrid2"))
    assert not Listed.of(eyes).elsewhere_in_source(eyes[1])
    tile = row("g", "hard exudate", "fundus", "idrid2", crop=(0, 0, 9, 9))
    assert [one.target for one in Listed.of(eyes).elsewhere_in_source(tile)] == ["microaneurysm"]
    spines = (row("f", "spinal canal", "MRI", "spider"), row("g", "vertebra", "MRI", "spider"))
    assert not Listed.of(spines).elsewhere_in_source(spines[1])


def test_a_row_without_mask_is_easy_by_its_field_or_its_modality() -> None:
    listed = Listed.of(ROWS)
    absent = {"mask": None}
    assert listed.kind(Row(**{**vars(row("e", "polyp", "MRI")), **absent})) == "easy"
    assert listed.kind(Row(**{**vars(row("e", "liver", "MRI")), **absent})) == "hard"
    assert listed.kind(Row(**{**vars(row("e", "unheard of", "MRI")), **absent})) == "hard"
    assert listed.kind(Row(**{**vars(row("e", "liver", "MRI", notes={"difficulty": "easy"})), **absent})) == "easy"


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=30)), st.integers(0, 99))
def test_an_empty_window_is_empty_large_enough_and_inside(mask: np.ndarray, seed: int) -> None:
    window = empty_window(mask, np.random.default_rng(seed))
    rows, columns = mask.shape
    height, width = int(np.ceil(LEAST * rows)), int(np.ceil(LEAST * columns))
    if window is None:
        corners = [(y, x) for y in range(rows - height + 1) for x in range(columns - width + 1)]
        assert all(mask[y : y + height, x : x + width].any() for y, x in corners)
        return
    x, y, w, h = window
    assert w >= width
    assert h >= height
    assert x + w <= columns
    assert y + h <= rows
    assert not mask[y : y + h, x : x + w].any()


def test_draws_of_an_image_depend_on_it_and_the_seed_alone() -> None:
    listed, mask = Listed.of(ROWS), np.zeros((20, 20), bool)

    def drawn(rows: tuple[Row, ...], seed: int) -> list[tuple[str, str, object]]:
        found = draw(by_image(rows), listed, listed.candidates, (), lambda _: mask, seed)
        return [(one.target, one.rule, one.window) for one in found if one.row.image == Path("b")]

    assert drawn(ROWS, 0) == drawn(ROWS[2:], 0)
    assert len({json.dumps(drawn(ROWS, seed)) for seed in range(9)}) > 1


def test_taught_targets_are_asked_where_the_manifest_has_none_of_another_modality() -> None:
    ct = ROWS[:3]
    polyp = Listed.of(ROWS[4:5]).candidates
    listed = Listed.of(ct, polyp)
    none = draw(by_image(ct), listed, listed.candidates, (), lambda _: None, 0)
    assert not [one for one in none if one.kind == "easy"]
    some = draw(by_image(ct), listed, listed.candidates, polyp, lambda _: None, 0)
    assert {one.target for one in some if one.kind == "easy"} == {"polyp"}


def test_of_the_real_manifest_nothing_listed_is_ever_called_absent() -> None:
    if not SHARED.is_file():
        pytest.skip("the shared data are not here")
    rows = read_manifest(SHARED)
    listed = Listed.of(rows)
    here = {(one.image, one.target) for one in rows}
    for one in rows:
        for candidate in (*listed.of_another_modality(one, listed.candidates), *listed.elsewhere_in_source(one)):
            assert (one.image, candidate.target) not in here
