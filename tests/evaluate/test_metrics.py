"""Numbers that can be worked out by hand, and laws that must hold for any masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, distance_transform_edt

from boltzformer.evaluate.metrics import TOLERANCE, Objects, auroc, border, calibration, dice, objects

masks = arrays(bool, (12, 14))


def box(*corners: tuple[int, int, int, int], shape: tuple[int, int] = (64, 64)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for y, x, height, width in corners:
        mask[y : y + height, x : x + width] = True
    return mask


def test_dice_of_half_overlapping_boxes_is_a_half() -> None:
    assert dice(box((0, 0, 10, 10)), box((0, 5, 10, 10))) == 0.5


def test_two_empty_masks_have_no_dice() -> None:
    with pytest.raises(ValueError, match="empty"):
        dice(box(), box())


def test_nothing_found_scores_zero_and_has_no_border() -> None:
    assert dice(box(), box((0, 0, 3, 3))) == 0
    assert border(box(), box((0, 0, 3, 3)), (1, 1)) is None


def test_a_shifted_box_is_as_far_off_as_it_was_shifted_in_millimetres() -> None:
    a, b = box((10, 10, 20, 20)), box((10, 18, 20, 20))
    fine, coarse = border(a, b, (1.0, 1.0)), border(a, b, (1.0, 0.25))
    assert fine is not None
    assert coarse is not None
    assert fine.hd95 == pytest.approx(8)
    assert coarse.hd95 == pytest.approx(2)
    assert fine.nsd < 1
    assert coarse.nsd == 1  # 2 mm are within the tolerance


@given(masks, masks)
def test_borders_agree_with_a_plain_calculation(mask: np.ndarray, truth: np.ndarray) -> None:
    found = border(mask, truth, (1.0, 1.0))
    if found is None:
        assert not (mask.any() and truth.any())
        return
    # of the surroundings nothing else counts
    wide = border(np.pad(mask, 9), np.pad(truth, 9), (1.0, 1.0))
    assert wide == found
    edges = [one & ~binary_erosion(one) for one in (mask, truth)]
    there, back = (distance_transform_edt(~b)[a] for a, b in (edges, edges[::-1]))
    assert found.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)
    near = (there <= TOLERANCE).sum() + (back <= TOLERANCE).sum()
    assert found.nsd == pytest.approx(near / (len(there) + len(back)))


def test_one_large_blob_does_not_find_many_objects() -> None:
    truth = box((2, 2, 4, 4), (20, 20, 4, 4), (40, 40, 4, 4))
    assert objects(box((0, 0, 64, 64)), truth) == Objects(true=3, claimed=1, met=0)


def test_each_claimed_object_meets_at_most_one_true_one() -> None:
    truth = box((0, 0, 10, 4), (0, 5, 10, 4))
    assert objects(box((0, 0, 10, 9)), truth) == Objects(true=2, claimed=1, met=1)


def test_precision_and_recall_of_counted_objects() -> None:
    found = objects(box((2, 2, 4, 4), (50, 50, 2, 2)), box((2, 2, 4, 4), (20, 20, 4, 4), (40, 40, 4, 4)))
    assert (found.precision, found.recall, found.f1) == (1 / 2, 1 / 3, 2 / 5)
    assert objects(box(), box((1, 1, 2, 2))).precision is None


@given(masks, masks)
def test_swapping_mask_and_truth_swaps_precision_and_recall(mask: np.ndarray, truth: np.ndarray) -> None:
    one, other = objects(mask, truth), objects(truth, mask)
    assert (one.true, one.claimed) == (other.claimed, other.true)
    assert 0 <= one.met <= min(one.true, one.claimed)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_auroc_is_the_chance_to_rank_a_pair_right(cases: list[tuple[int, bool]]) -> None:
    yes, no = ([s for s, p in cases if p == wanted] for wanted in (True, False))
    scores, present = np.array([s for s, _ in cases], float), np.array([p for _, p in cases], bool)
    found = auroc(scores, present)
    if not yes or not no:
        assert found is None
        return
    assert found == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in yes for b in no]))
    twice = auroc(np.repeat(scores, 2), np.repeat(present, 2))
    assert twice == pytest.approx(auroc(scores, present, np.full(len(cases), 2)))


def test_scores_are_compared_with_how_often_it_is_there() -> None:
    told = calibration(np.array([0.0, 0.05, 0.72, 0.78, 1.0]), np.array([False, False, True, False, True]))
    assert told is not None
    assert [(one["from"], one["n"], one["present"]) for one in told["curve"]] == [(0, 2, 0), (0.7, 2, 0.5), (0.9, 1, 1)]
    assert told["error"] == pytest.approx((2 * 0.025 + 2 * 0.25 + 0) / 5)
    assert calibration(np.array([]), np.array([], bool)) is None
