"""The queries' attention to image tokens: the plain way, and cheaper ways that give the same numbers.

The plain way projects every token to keys and values, N·C² twice per layer, which is nine tenths of the released
decoder's work. With few queries it is cheaper to move the projections to the other side (per head h, softmax over the
tokens x that are not blocked, e(x) the position of a token, g the embedding of its grid):

    score(x) = q_h·(W_K (x + g + e(x)) + b_K) = (W_Kᵀ q_h)·(x + e(x)) + constant over tokens, which softmax ignores
    answer   = Σ a(x) (W_V (x + g) + b_V)     = W_V (Σ a(x) x + g) + b_V, because Σ a(x) = 1

So keys and values are never made (`absorbed`), and tokens that are not visited need not be read: `gathered` picks the
tokens of a query once for all its heads, `sparse` works pair by pair where each head has a set of its own.
Sine positions are separable, one half of the channels codes the row and one the column, so x + e(x) is never built.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer.model import boltzmann
from boltzformer.model.config import DecoderConfig
from boltzformer.model.layers import Attention, linear

Way = Literal["dense", "sdpa", "projected", "absorbed", "gathered", "sparse"]

PICKED = 3.0
"""A picked token costs as much as three that stream by (break-even at 30 % density, measured on AVX-512)."""
GATHER_START = 4e6
"""What a query's gather costs whatever its number of tokens, in multiply-adds: a handful of small calls."""
SPARSE_START = 3e7
"""What a sparse product costs whatever its size, in multiply-adds: some thirty small calls."""
TILE = 2048
"""Tokens that `sparse` treats at a time: 4 MB at 512 channels stay in the cache while all pairs read them."""

# The pattern of pairs is a CSR tensor; torch says once per process that their API may change.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


@dataclass(frozen=True)
class Grid:
    """The tokens of one grid, as the attention of a layer needs them."""

    tokens: Tensor
    """(B, L, C)."""
    rows: Tensor
    """(h, C/2): sine code of each row, the first half of a token's position."""
    columns: Tensor
    """(w, C/2): sine code of each column, the second half."""
    level: Tensor
    """(C,): the learned embedding of this grid, part of keys and values."""
    sharpness: float = 1.0
    """Factor of all scores, above 1 where more tokens are read than in training (see `extrapolation`)."""

    @property
    def size(self) -> tuple[int, int]:
        """(h, w), h·w = L."""
        return len(self.rows), len(self.columns)

    def positions(self) -> Tensor:
        """(L, C): row and column of every token."""
        (height, width), half = self.size, self.rows.shape[1]
        rows, columns = self.rows[:, None].expand(-1, width, half), self.columns.expand(height, -1, half)
        return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def cheapest(
    config: DecoderConfig, queries: int, tokens: int, *, heads_share: bool, picks: bool, learns: bool = False
) -> Way:
    """The way for `queries` rows (all prompts together) on a grid, from configuration and shapes, never from timing.

    `heads_share`: the heads of a query visit the same tokens. `picks`: see `picks_tokens`. `learns`: gradients are
    wanted, which not every build of torch has for sparse products.
    """
    width, heads = config.hidden, config.heads
    streamed = 2 * queries * heads * width * tokens  # scores and averages, in multiply-adds
    picked = min(1.0, PICKED * boltzmann.expected_density(config)) * streamed
    costs: dict[Way, float] = {
        "absorbed": streamed,
        "projected": 2 * width * width * tokens + 2 * queries * width * tokens,
    }
    if picks and heads_share:
        costs["gathered"] = picked + queries * GATHER_START
    elif picks and not learns:
        costs["sparse"] = picked + SPARSE_START
    return min(costs, key=lambda way: costs[way])


def picks_tokens(config: DecoderConfig, like: Tensor) -> bool:
    """Whether single tokens may be picked: few of them, on a CPU, in full precision.

    A GPU would start thousands of tiny kernels, and in bf16 the streaming product is 2.6 times faster, picking is not.
    """
    few = boltzmann.expected_density(config) < 0.3
    return few and like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)


def attend(way: Way, attention: Attention, query: Tensor, grid: Grid, blocked: Tensor | None) -> Tensor:
    """(B, P, Q, C) from queries with their position; `blocked` (B, P, heads or 1, Q, L) has no row that is all True."""
    if way == "absorbed":
        return _absorbed(attention, query, grid, blocked)
    if way == "projected":
        return _projected(attention, query, grid, blocked)
    if way in ("gathered", "sparse"):
        if blocked is None:
            raise ValueError("Nothing to pick from: all tokens are visited.")
        return (_gathered if way == "gathered" else _sparse)(attention, query, grid, blocked)
    return _dense(attention, query, grid, blocked, fused=way == "sdpa")


def _dense(attention: Attention, query: Tensor, grid: Grid, blocked: Tensor | None, fused: bool) -> Tensor:
    """The definition: keys and values of all tokens, scores, softmax, average."""
    to_query, to_key, to_value = _projections(attention)
    memory = grid.tokens + grid.level  # (B, L, C)
    q = _by_heads(_sharpened(to_query(query), grid), attention.heads)  # (B, heads, P·Q, C / heads)
    k = _by_heads(to_key(memory + grid.positions())[:, None], attention.heads)  # (B, heads, L, C / heads)
    v = _by_heads(to_value(memory)[:, None], attention.heads)
    mask = None if blocked is None else blocked.transpose(1, 2).flatten(2, 3)  # (B, heads or 1, P·Q, L)
    if fused:
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else ~mask)
    else:
        score = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
        if mask is not None:
            score = score.masked_fill(mask, -torch.inf)
        seen = torch.softmax(score, dim=-1) @ v
    return _joined(attention, seen, query)


def _projected(attention: Attention, query: Tensor, grid: Grid, blocked: Tensor | None) -> Tensor:
    """Keys and values once for all prompts, for many queries; positions are projected per axis, not per token."""
    width, half = query.shape[-1], query.shape[-1] // 2
    weight = attention.in_proj_weight
    k, v = F.linear(grid.tokens, weight[width:]).chunk(2, dim=-1)  # (B, L, C) each
    key_weight = weight[width : 2 * width]
    along_rows, along_columns = F.linear(grid.rows, key_weight[:, :half]), F.linear(grid.columns, key_weight[:, half:])
    k = k + (along_rows[:, None] + along_columns[None]).flatten(0, 1)
    to_query, _, to_value = _projections(attention)
    mask = None if blocked is None else ~blocked.transpose(1, 2).flatten(2, 3)
    q, k, v = (_by_heads(x, attention.heads) for x in (_sharpened(to_query(query), grid), k[:, None], v[:, None]))
    seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    constant = to_value(grid.level).unflatten(0, (attention.heads, 1, -1))  # Σ a = 1: added after averaging
    return _joined(attention, seen + constant, query)


def _absorbed(attention: Attention, query: Tensor, grid: Grid, blocked: Tensor | None) -> Tensor:
    """Scores and averages of the raw tokens; every token is read, none is projected."""
    b, p, q, _ = query.shape
    asked = _asked(attention, query, grid)  # (B, P, heads, Q, C)
    flat = asked.flatten(1, 3)  # (B, P·heads·Q, C)
    score = flat @ grid.tokens.transpose(1, 2)  # (B, P·heads·Q, L)
    along_rows, along_columns = _axis_scores(flat, grid)
    # In place, because the scores are the largest thing here and memory's first touch is slower than the arithmetic.
    score.unflatten(-1, grid.size).add_(along_rows[..., :, None]).add_(along_columns[..., None, :])
    score = score.unflatten(1, (p, -1, q))  # (B, P, heads, Q, L)
    if blocked is not None:
        score.masked_fill_(blocked, -torch.inf)
    average = torch.softmax(score, dim=-1).flatten(1, 3) @ grid.tokens  # (B, P·heads·Q, C)
    return _answered(attention, average.view(b, p, attention.heads, q, -1), grid.level)


def _gathered(attention: Attention, query: Tensor, grid: Grid, blocked: Tensor) -> Tensor:
    """As `_absorbed`, but a query's heads read only the tokens that it visits: one shared set per query."""
    b, p, q, c = query.shape
    asked = _asked(attention, query, grid).transpose(2, 3).reshape(b * p * q, attention.heads, c)
    row, token = (~blocked).expand(b, p, 1, q, -1).reshape(b * p * q, -1).nonzero().unbind(1)  # sorted by row
    along_rows, along_columns = _axis_scores(asked, grid)  # (B·P·Q, heads, h or w)
    height, width = grid.size
    placed = _picked(along_rows, row * height + token // width) + _picked(along_columns, row * width + token % width)
    counts = row.bincount(minlength=b * p * q).tolist()
    images = [tokens for tokens in grid.tokens for _ in range(p * q)]
    # One piece of memory serves all queries and stays in the cache; what gradients need can't be overwritten.
    room = None if torch.is_grad_enabled() else grid.tokens.new_empty(max(counts), c)
    averages = [
        _gathered_average(*one, room)
        for one in zip(images, asked, token.split(counts), placed.split(counts), strict=True)
    ]
    average = torch.stack(averages).view(b, p, q, attention.heads, c).transpose(2, 3)
    return _answered(attention, average, grid.level)


def _picked(scores: Tensor, place: Tensor) -> Tensor:
    """(visits, heads) from axis scores (R, heads, n) and places on the rows and axis as one, row·n + number."""
    return scores.transpose(1, 2).flatten(0, 1).index_select(0, place)


def _gathered_average(tokens: Tensor, asked: Tensor, visited: Tensor, place: Tensor, room: Tensor | None) -> Tensor:
    """(heads, C) for one query: tokens (L, C), asked (heads, C), n visited tokens, their place scores (n, heads)."""
    x = torch.index_select(tokens, 0, visited, out=None if room is None else room[: len(visited)])  # (n, C)
    return torch.softmax(torch.addmm(place.T, asked, x.T), dim=-1) @ x


def _sparse(attention: Attention, query: Tensor, grid: Grid, blocked: Tensor) -> Tensor:
    """As `_absorbed`, but only for the pairs of head and token that are visited."""
    b, p, q, c = query.shape
    heads = attention.heads
    asked = _asked(attention, query, grid).flatten(1, 3)  # (B, P·heads·Q, C)
    along_rows, along_columns = _axis_scores(asked, grid)
    visited = (~blocked).expand(b, p, heads, q, -1).flatten(1, 3)  # (B, P·heads·Q, L)
    average = torch.stack(list(map(_sparse_average, grid.tokens, asked, along_rows, along_columns, visited)))
    return _answered(attention, average.view(b, p, heads, q, c), grid.level)


def _sparse_average(
    tokens: Tensor, asked: Tensor, along_rows: Tensor, along_columns: Tensor, visited: Tensor
) -> Tensor:
    """(R, C) for one image: tokens (L, C), asked (R, C), axis scores (R, h) and (R, w), visited (R, L)."""
    asking, height, width = len(asked), along_rows.shape[1], along_columns.shape[1]
    tiles = []
    peak = asked.new_full((asking,), -torch.inf)
    for start in range(0, len(tokens), TILE):
        x = tokens[start : start + TILE]
        row, token = visited[:, start : start + TILE].nonzero().unbind(1)  # sorted by row
        first = F.pad(row.bincount(minlength=asking).cumsum(0), (1, 0))  # (R + 1,): where each row's pairs begin
        position = token + start
        place = along_rows.take(row * height + position // width) + along_columns.take(row * width + position % width)
        pairs = torch.sparse_csr_tensor(first, token, place, (asking, len(x)), check_invariants=False)
        score = torch.sparse.sampled_addmm(pairs, asked, x.T).values()  # asked · x + place
        peak = peak.scatter_reduce(0, row, score.detach(), "amax")
        tiles.append((x, row, token, first, score))
    total, average = torch.zeros_like(peak), torch.zeros_like(asked)
    for x, row, token, first, score in tiles:
        weight = (score - peak[row]).exp()
        total = total.index_add(0, row, weight)
        average = average + F.embedding_bag(
            token, x, first, mode="sum", per_sample_weights=weight, include_last_offset=True
        )
    return average / total[:, None]


def _sharpened(q: Tensor, grid: Grid) -> Tensor:
    return q if grid.sharpness == 1 else q * grid.sharpness


def _asked(attention: Attention, query: Tensor, grid: Grid) -> Tensor:
    """(B, P, heads, Q, C): what each head asks of the raw tokens, W_Kᵀ (W_Q x + b_Q) / √d, sharpened."""
    c, heads = query.shape[-1], attention.heads
    scale = grid.sharpness * (c // heads) ** -0.5
    q = linear(query, attention.in_proj_weight[:c], attention.in_proj_bias[:c]) * scale
    q = q.unflatten(-1, (heads, -1)).transpose(2, 3)  # (B, P, heads, Q, C / heads)
    return q @ attention.in_proj_weight[c : 2 * c].unflatten(0, (heads, -1))


def _axis_scores(asked: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """(…, h) and (…, w): what the position adds to the score, by row and by column."""
    half = asked.shape[-1] // 2
    return asked[..., :half] @ grid.rows.T, asked[..., half:] @ grid.columns.T


def _answered(attention: Attention, average: Tensor, level: Tensor) -> Tensor:
    """(B, P, Q, C) from the heads' averages of raw tokens (B, P, heads, Q, C)."""
    c, heads = average.shape[-1], attention.heads
    value_weight = attention.in_proj_weight[2 * c :].unflatten(0, (heads, -1))  # (heads, C / heads, C)
    value_bias = attention.in_proj_bias[2 * c :].unflatten(0, (heads, 1, -1))
    seen = (average + level) @ value_weight.transpose(-1, -2) + value_bias
    return _out(attention, seen.transpose(2, 3).flatten(3))


def _projections(attention: Attention) -> tuple[_Linear, _Linear, _Linear]:
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (_Linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
    return q, k, v


@dataclass(frozen=True)
class _Linear:
    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def _by_heads(x: Tensor, heads: int) -> Tensor:
    """(B, heads, P·N, C / heads) from (B, P, N, C)."""
    return x.flatten(1, 2).unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(attention: Attention, seen: Tensor, query: Tensor) -> Tensor:
    """(B, P, Q, C) from (B, heads, P·Q, C / heads)."""
    return _out(attention, seen.transpose(1, 2).flatten(2).view(query.shape))


def _out(attention: Attention, x: Tensor) -> Tensor:
    answer: Tensor = attention.out_proj(x)
    return answer
