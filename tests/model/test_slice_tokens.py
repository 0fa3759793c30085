"""Resizing the semantic map before the product with the queries is the same as resizing masks after it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from boltzformer.model.slice_tokens import at_tokens, axes_of, rows


@pytest.mark.parametrize(
    ("full", "size"),
    [
        ((32, 48), (16, 24)),
        ((32, 48), (8, 12)),
        ((64, 64), (8, 8)),
        ((32, 32), (32, 32)),
        ((40, 52), (5, 7)),
        ((30, 30), (10, 10)),
    ],
)
def test_token_guesses_equal_resized_masks(full: tuple[int, int], size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    semantic = torch.randn(2, 20, *full, generator=generator, dtype=torch.float64)
    queries = torch.randn(2, 3, 20, generator=generator, dtype=torch.float64)
    masks = (queries @ semantic.flatten(2)).unflatten(-1, full)
    wanted = F.interpolate(masks, size=size, mode="bilinear", align_corners=False).flatten(2)
    torch.testing.assert_close(queries @ at_tokens(semantic, size), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_rows_are_tokens_in_reading_order(batch: int, memory: torch.memory_format) -> None:
    grid = torch.arange(batch * 4 * 3 * 5.0).view(batch, 4, 3, 5).contiguous(memory_format=memory)
    for contiguous in (False, True):
        made = rows(grid, contiguous)
        assert torch.equal(made[:, 7], grid[:, :, 1, 2])
        assert not contiguous or made.is_contiguous()


def test_a_channels_last_map_is_not_copied() -> None:
    grid = torch.randn(2, 4, 3, 5).to(memory_format=torch.channels_last)
    assert rows(grid, contiguous=True).data_ptr() == grid.data_ptr()


def test_axes_carry_half_of_the_channels_each() -> None:
    along_rows, along_columns = axes_of(torch.zeros(1, dtype=torch.float64), (3, 5), 8)
    assert along_rows.shape == (3, 4)
    assert along_columns.shape == (5, 4)
    assert along_rows.dtype == torch.float64


def test_a_map_at_token_resolution_is_not_copied_and_no_guess_teaches_it() -> None:
    semantic = torch.randn(1, 4, 6, 6, requires_grad=True)
    for size in ((6, 6), (3, 3), (2, 2)):
        assert not at_tokens(semantic, size).requires_grad
    assert at_tokens(semantic, (6, 6)).data_ptr() == semantic.data_ptr()
