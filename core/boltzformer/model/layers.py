"""Parts that several modules share: products, attention with torch's parameter names, sine positions; BA-SAM's
attention over more tokens than in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

COLUMNS, INNER = 16384, 16
"""Block of `product`: how many columns, and how many channels summed at a time."""


def streams(x: Tensor) -> bool:
    """Whether products go block by block or to oneDNN: fp32 on a CPU, for an answer and not for a gradient."""
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


FEW = 2_400_000
"""Multiplications up to which handing tensors to oneDNN and back (22 µs) takes longer than it saves."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, by oneDNN where it pays: on ten rows of 512 it is 1.5 times as fast as torch's default library, on a
    hundred 2; on twelve of 128 it would take 29 µs instead of 7.
    """
    few = x.numel() * len(weight) <= FEW
    if few or not (streams(x) and torch.backends.mkldnn.is_available()):
        return F.linear(x, weight, bias)
    made = F.linear(x.reshape(-1, x.shape[-1]).to_mkldnn(), weight, bias).to_dense()
    return made.view(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """`nn.Linear`, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, out) from (…, in)."""
        return linear(x, self.weight, self.bias)


def product(few: Tensor, many: Tensor) -> Tensor:
    """(B, R, L) = (B, R, M) @ (B, M, L) for few rows and many columns.

    In blocks, because the rows of `many` lie a power of two apart: 512 of them fall into the same few places of the
    cache. 10 × 512 × 65 536 takes 12 ms and not 25.
    """
    if not streams(few):
        return few @ many
    out = few.new_zeros(*few.shape[:2], many.shape[2])
    for a, b, whole in zip(few, many, out, strict=True):
        for columns, made in zip(b.split(COLUMNS, 1), whole.split(COLUMNS, 1), strict=True):
            for left, right in zip(a.split(INNER, 1), columns.split(INNER), strict=True):
                made.addmm_(left, right)
    return out


ASKING = 256
"""Rows of queries whose scores are held at a time: 2 MB of 4096 tokens in bfloat16, which stays in the cache."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(B, heads, N, d) from queries, keys and values of that shape.

    In bfloat16 on a CPU, torch's own is no quicker than in fp32, and plain products are: 0.12 s where it takes 0.31
    (4 heads, 4096 tokens of 96 channels, one thread of an EPYC).
    """
    rough = q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.is_grad_enabled()
    if not rough or q.shape[2] < 4 * ASKING:
        return F.scaled_dot_product_attention(q, k, v)
    seen, scale = torch.empty_like(q), q.shape[-1] ** -0.5
    with torch.autocast("cpu", enabled=False):
        for asking, keys, values, out in zip(q.unbind(), k.unbind(), v.unbind(), seen.unbind(), strict=True):
            for head in range(len(asking)):
                for some, made in zip(asking[head].split(ASKING), out[head].split(ASKING), strict=True):
                    made.copy_(((some * scale) @ keys[head].T).softmax(-1) @ values[head])
    return seen


def planes(grid: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, C, H, W) in another precision, each channel's pixels in a row, as the decoder multiplies them.

    In blocks of pixels: 0.09 s for 512 channels of 256² that came channels last, where `contiguous` takes 0.3.
    """
    if grid.is_contiguous():
        return grid.to(dtype)
    out = grid.new_empty(grid.shape, dtype=dtype)
    for one, made in zip(grid.permute(0, 2, 3, 1).flatten(1, 2), out.flatten(2), strict=True):
        for some, part in zip(one.split(256), made.split(256, 1), strict=True):
            part.copy_(some.T.contiguous())
    return out


class Attention(nn.Module):
    """Multi-head attention, batch first, with the parameters of `nn.MultiheadAttention`."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attend: Tensor | None = None,
        average: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(B, N, C) from queries (B, N, C), keys and values (B, L, C); `attend` (…, N, L): True where one may look.

        `average`: another way from each head's queries, keys and values (B, heads, N or L, C / heads) to what it saw.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            self._split(linear(x, weight, bias))
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        average = average or partial(F.scaled_dot_product_attention, attn_mask=attend)
        seen = average(q, k, v)  # (B, heads, N, C / heads)
        joined: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def sine_axis(length: int, channels: int, device: torch.device | None = None) -> Tensor:
    """(length, channels) fp32: the sine code of one image axis; positions run from just above 0 to 2π."""
    position = torch.arange(1, length + 1, dtype=torch.float32, device=device) / (length + 1e-6) * (2 * math.pi)
    pair = torch.arange(channels, dtype=torch.float32, device=device).div(2, rounding_mode="floor")
    angle = position[:, None] / 10000 ** (2 * pair / channels)
    even = torch.arange(channels, device=device) % 2 == 0
    return torch.where(even, angle.sin(), angle.cos())


def sine_positions(height: int, width: int, channels: int, device: torch.device | None = None) -> Tensor:
    """(channels, height, width) fp32: the first half of the channels codes the row, the second the column."""
    half = channels // 2
    rows = sine_axis(height, half, device).T[:, :, None].expand(half, height, width)
    columns = sine_axis(width, half, device).T[:, None, :].expand(half, height, width)
    return torch.cat([rows, columns])


BETA = 0.1
"""Per token of distance, in units of q·k. The paper's are for distances along one axis, so this one is our own. With
the shipped model at twice its size it made no difference (benchmarks/RESULTS.md); for larger models it is a guess."""
TILE = 2**18
"""Pairs of tokens whose distances are held at a time: 1 MB, where all of a large image are 1 GB."""


def tokens_at(side: int | None, stride: int) -> int | None:
    """Of a square image on the grid of a stride."""
    return None if side is None else (-(-side // stride)) ** 2


def sharpness(tokens: int, trained: int | None) -> float:
    """λ √d: 1 up to the trained number of tokens, then the logarithm to its base."""
    if trained is None or tokens <= trained:
        return 1.0
    return math.log(tokens) / math.log(max(trained, 2))  # a single token has no logarithm to stand on


class Extrapolation(nn.Module):
    """Of one self-attention over a grid. It has a parameter only where β is learned."""

    def __init__(self, trained: int | None, learned_beta: bool) -> None:
        """`trained`: number of tokens; None: any."""
        super().__init__()
        self.trained = trained
        self.beta: nn.Parameter | float = nn.Parameter(torch.tensor(BETA)) if learned_beta else BETA

    def forward(self, q: Tensor, k: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, heads, N, d) from queries, keys and values of that shape, of a grid (h, w) with h·w = N."""
        sharp = sharpness(q.shape[2], self.trained)
        if sharp == 1:
            return attention(q, k, v)
        scale = sharp * q.shape[-1] ** -0.5
        place = torch.cartesian_prod(*(torch.arange(n, device=q.device, dtype=torch.float32) for n in size))  # (N, 2)
        rows = max(1, TILE // len(place))
        tiles = list(zip(q.split(rows, 2), place.split(rows), strict=True))

        def tile(asking: Tensor, here: Tensor) -> Tensor:
            distance = torch.hypot(here[:, :1] - place[:, 0], here[:, 1:] - place[:, 1])  # (rows, N)
            bias = (-scale * self.beta * distance).to(q.dtype)
            return F.scaled_dot_product_attention(asking, k, v, attn_mask=bias, scale=scale)

        if torch.is_grad_enabled():  # what a tile needs is made again for its gradient, or all of them would be held
            return torch.cat([checkpoint(tile, *one, use_reentrant=False) for one in tiles], 2)
        return torch.cat([tile(*one) for one in tiles], 2)
