"""Products that go their own way on a CPU give what torch's own give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer.model.layers import COLUMNS, Linear, attention, planes, product


def share(made: Tensor, wanted: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((made.detach() - wanted.detach()).abs().max() / wanted.detach().abs().max())


@pytest.mark.parametrize("shape", [(1, 64), (10, 64), (2, 1, 7, 64)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_gives_the_same_with_and_without_gradients(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = Linear(64, 48, bias=bias), torch.randn(shape)
    wanted = F.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    learning = layer(x)
    with torch.no_grad():
        answering = layer(x)
    assert learning.requires_grad
    assert not answering.requires_grad
    assert learning.shape == answering.shape == wanted.shape
    assert share(learning, wanted) < 1e-6
    assert share(answering, wanted) < 1e-6


def test_a_linear_layer_takes_a_view_and_a_transposed_input() -> None:
    torch.manual_seed(0)
    layer, x = Linear(64, 48), torch.randn(64, 10)
    with torch.no_grad():
        assert share(layer(x.T), F.linear(x.T.double(), layer.weight.double(), layer.bias.double())) < 1e-6
        picked = torch.randn(1, 20, 64)[:, 3:11]
        assert share(layer(picked), F.linear(picked.double(), layer.weight.double(), layer.bias.double())) < 1e-6


@pytest.mark.parametrize(("channels", "columns"), [(16, 9), (50, COLUMNS), (7, COLUMNS + 5), (64, 2 * COLUMNS + 1)])
def test_a_product_in_blocks_is_the_product(channels: int, columns: int) -> None:
    torch.manual_seed(0)
    few, many = torch.randn(2, 3, channels), torch.randn(2, channels, columns)
    with torch.no_grad():
        made = product(few, many)
    assert made.shape == (2, 3, columns)
    assert share(made, few.double() @ many.double()) < 1e-6


def test_a_product_has_gradients() -> None:
    few, many = torch.randn(1, 3, 20, requires_grad=True), torch.randn(1, 20, 9, requires_grad=True)
    product(few, many).sum().backward()
    assert few.grad is not None
    assert torch.allclose(few.grad, many.detach().sum(2)[:, None].expand_as(few))


def test_attention_in_bfloat16_row_by_row_sees_what_torchs_own_sees() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 1100, 3, 16).transpose(1, 2) for _ in range(3))  # rows that fill no block
    with torch.no_grad():
        rough = attention(*(x.bfloat16() for x in (q, k, v)))
        exact = attention(q, k, v)
    assert torch.equal(exact, F.scaled_dot_product_attention(q, k, v))
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.02


def test_planes_are_the_same_numbers_in_the_order_of_pixels() -> None:
    grid = torch.randn(2, 5, 21, 17).bfloat16().contiguous(memory_format=torch.channels_last)
    made = planes(grid, torch.float32)
    assert made.is_contiguous()
    assert torch.equal(made, grid.float())
    assert planes(made, torch.float32) is made
