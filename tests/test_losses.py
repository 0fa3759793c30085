"""Losses punish what they should; their values are pinned by the recorded tensors in test_parity.py."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzformer.model.losses import dice, edge_target, gated_loss, overlap_loss

LABELS = torch.zeros(1, 2, 24, 24, dtype=torch.int64)
LABELS[0, 0, 4:10, 4:10], LABELS[0, 0, 10:16, 4:10] = 1, 2


def perfect(sign: float = 1.0) -> torch.Tensor:
    return sign * 20 * (2 * (LABELS > 0).double() - 1)


def test_a_perfect_answer_costs_nothing_and_a_reversed_one_much():
    target = (LABELS > 0).double()
    assert overlap_loss(perfect()[:, :1], target[:, :1]).total < 1e-5
    assert overlap_loss(perfect(-1)[:, :1], target[:, :1]).total > 10


def test_masks_of_absent_objects_are_not_trained():
    logits = torch.zeros(1, 2, 24, 24, requires_grad=True)
    existence = torch.zeros(1, 2, requires_grad=True)
    gated_loss(logits, existence, None, LABELS).total.backward()
    assert logits.grad is not None
    assert existence.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1].abs().sum() == 0
    assert existence.grad[0, 0] < 0 < existence.grad[0, 1]


def test_touching_objects_have_a_border_between_them():
    edges = edge_target(LABELS)[0, 0]
    assert edges[9, 6] == 1
    assert edges[10, 6] == 1
    assert edges[6, 6] == 0
    assert edge_target((LABELS > 0).int())[0, 0, 9, 6] == 0


def test_an_outline_without_weight_costs_nothing():
    flat = torch.zeros(1, 2, 24, 24)
    with_edges = gated_loss(flat, torch.zeros(1, 2), flat, LABELS, edge_weight=0.0)
    without = gated_loss(flat, torch.zeros(1, 2), None, LABELS)
    assert torch.equal(with_edges.total, without.total)
    assert without.edge is None


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 1))
def test_dice_lies_between_0_and_1(seed, share):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64) * 5
    target = (torch.rand(2, 3, 8, 8, generator=generator) < share).double()
    assert ((dice(logits, target) >= 0) & (dice(logits, target) <= 1)).all()


def test_half_precision_answers_are_summed_in_full():
    logits, existence = perfect().bfloat16(), torch.zeros(1, 2, dtype=torch.bfloat16)
    loss = gated_loss(logits, existence, logits, LABELS)
    assert loss.total.dtype == torch.float32
    assert overlap_loss(logits, LABELS > 0).total.dtype == torch.float32
