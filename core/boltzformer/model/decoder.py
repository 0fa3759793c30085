"""The Boltzmann decoder: queries × text × image tokens → masks, existence, trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from boltzformer.model import boltzmann
from boltzformer.model.attention import Attention, sine_position
from boltzformer.model.config import ModelConfig
from boltzformer.model.text import TextState

Noise = Callable[[int], Tensor]
"""layer → uniform numbers (B, P, Q, L): the only randomness of the model, given by the caller."""


@dataclass(frozen=True)
class Look:
    """What one layer saw: (B, P, Q, L) each."""

    layer: int
    guess: Tensor
    probability: Tensor
    visited: Tensor


class FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen, self.narrow, self.norm = (
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.narrow(relu(self.widen(x))))


class Layer(nn.Module):
    """Cross-attention to the visited tokens, joint self-attention with the text, feed-forward; all post-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.cross, self.joint = Attention(width, heads), Attention(width, heads)
        self.cross_norm, self.joint_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = FeedForward(width)
        self.existence, self.existence_norm = Attention(width, heads), nn.LayerNorm(width)
        self.existence_feed = FeedForward(width)


class Decoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        c = config.width
        self.query = nn.Parameter(torch.randn(config.queries, c))
        self.query_position = nn.Parameter(torch.randn(config.queries, c))
        self.level = nn.Parameter(torch.randn(len(config.strides), c))
        self.first, self.first_norm, self.first_feed = Attention(c, config.heads), nn.LayerNorm(c), FeedForward(c)
        self.layers = nn.ModuleList(Layer(c, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(c)
        self.mask_embed = nn.Sequential(nn.Linear(c, c), nn.ReLU(), nn.Linear(c, c), nn.ReLU(), nn.Linear(c, c))
        self.existence_query = nn.Parameter(torch.randn(1, c))
        self.classifier = nn.Linear(c, 1)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        semantic: Tensor,
        text: TextState,
        noise: Noise,
        looks: list[Look] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """pyramid: maps (B, C, h, w) coarse to fine → mask logits (B, P, Q, h, w) and existence logits (B, P)."""
        b, q = semantic.shape[0], self.config.queries
        words = text.tokens.expand(b, *text.tokens.shape[-3:])  # (B, P, T, C)
        p = words.shape[1]
        words = words.flatten(0, 1)  # (N = B·P, T, C)
        known = text.mask.expand(b, p, -1).flatten(0, 1)
        allowed = torch.cat([known.new_ones(b * p, q), known], 1)[:, None, None]  # (N, 1, 1, Q + T)
        placed = torch.cat([self.query_position.expand(b * p, -1, -1), words.detach()], 1)  # position of the joint set
        memory, position = self._memory(pyramid, p)

        joint = torch.cat([self.query.expand(b * p, -1, -1), words], 1)
        joint = self.first_norm(joint + self.first(joint + placed, joint + placed, joint, allowed))
        x, words = self.first_feed(joint[:, :q]), joint[:, q:]
        existence = self.existence_query.expand(b * p, -1, -1)
        for i, layer in enumerate(self.layers):
            level = i % len(memory)
            seen = self._look(i, self._masks(x, semantic, p), noise, looks)
            keys = memory[level] + position[level]
            x = layer.cross_norm(x + layer.cross(x + self.query_position, keys, memory[level], seen))  # type: ignore[operator]
            joint = torch.cat([x, words], 1)
            joint = layer.joint_norm(joint + layer.joint(joint + placed, joint + placed, joint, allowed))  # type: ignore[operator]
            x, words = layer.feed(joint[:, :q]), joint[:, q:]  # type: ignore[operator]
            watched = joint.detach()  # the existence score never disturbs the masks
            answer = layer.existence(existence, watched + placed.detach(), watched, allowed)  # type: ignore[operator]
            existence = layer.existence_feed(layer.existence_norm(existence + answer))  # type: ignore[operator]
        masks = self._masks(x, semantic, p)
        return masks, self.classifier(existence)[:, 0, 0].unflatten(0, (b, p))

    def _memory(self, pyramid: Sequence[Tensor], p: int) -> tuple[list[Tensor], list[Tensor]]:
        tokens, positions = [], []
        for level, features in enumerate(pyramid):
            flat = features.flatten(2).transpose(1, 2) + self.level[level]  # (B, L, C)
            tokens.append(flat.repeat_interleave(p, 0))
            positions.append(sine_position(features.shape[-1], features.shape[1]).to(features))
        return tokens, positions

    def _masks(self, x: Tensor, semantic: Tensor, p: int) -> Tensor:
        embedded = self.mask_embed(self.norm(x)).unflatten(0, (-1, p))  # (B, P, Q, C)
        return torch.einsum("bpqc,bchw->bpqhw", embedded, semantic)

    def _look(self, i: int, masks: Tensor, noise: Noise, looks: list[Look] | None) -> Tensor:
        """The tokens that each query may attend in layer i: (N, 1, Q, L) bool."""
        side = self.config.grid(i)
        logits = interpolate(masks.detach().flatten(0, 1), size=(side, side), mode="bilinear", align_corners=False)
        guess = logits.sigmoid().flatten(2).unflatten(0, masks.shape[:2])  # (B, P, Q, L)
        probability = boltzmann.distribution(guess, boltzmann.temperature(i, self.config.base_temperature))
        chance = boltzmann.chance_of_visit(probability, self.config.sample_ratio)
        drawn = boltzmann.visited(chance, noise(i))
        if looks is not None:
            looks.append(Look(i, guess, chance, drawn))
        return drawn.flatten(0, 1)[:, None]
