"""The Boltzmann decoder: queries × text × the image tokens that they visit → masks, existence, trace; stacked from
blocks with the published parameter names, all post-norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model import boltzmann
from boltzformer.model.attention import Grid, Way, attend, cheapest, picks_tokens
from boltzformer.model.config import DecoderConfig
from boltzformer.model.decoding import (
    AnyDecoder,
    Decoded,
    Energies,
    Insides,
    Masks,
    Noise,
    Question,
    Watch,
    nobody,
    resized_guess,
)
from boltzformer.model.layers import Attention, Linear, product, sharpness, tokens_at
from boltzformer.model.slice_tokens import Look, SliceTokens, Trace, at_tokens, axes_of, rows, sizes_of

__all__ = ["Decoded", "Decoder", "Energies", "Look", "Masks", "Noise", "SliceTokens", "Trace", "Watch", "Way", "nobody"]


class Decoder(AnyDecoder):
    """All layers."""

    def __init__(self, config: DecoderConfig, trained_side: int | None = None) -> None:
        """`trained_side`: of the images it was trained with, in pixels; None: of any size."""
        super().__init__()
        self.config = config
        trained = [tokens_at(trained_side, stride) for stride in config.strides]
        self.trained = [None if tokens is None else self._drawn(tokens) for tokens in trained]
        c, heads, layers = config.hidden, config.heads, range(config.layers)
        if config.text_prior:
            self.initial_self_attention_layer = SelfAttentionLayer(c, heads)
            self.initial_ffn_layer = FeedForwardLayer(c, config.ffn)
        self.transformer_cross_attention_layers = nn.ModuleList([ImageAttentionLayer(c, heads) for _ in layers])
        self.transformer_self_attention_layers = nn.ModuleList([SelfAttentionLayer(c, heads) for _ in layers])
        self.transformer_ffn_layers = nn.ModuleList([FeedForwardLayer(c, config.ffn) for _ in layers])
        self.decoder_norm = nn.LayerNorm(c)
        suffix = "_" if config.version == 2 else ""
        self._content, self._place = f"query_feat{suffix}", f"query_embed{suffix}"
        self.add_module(self._content, nn.Embedding(config.queries, c))
        self.add_module(self._place, nn.Embedding(config.queries, c))
        self.level_embed = nn.Embedding(len(config.strides), c)
        if config.input_projections:
            self.input_proj = nn.ModuleList([nn.Conv2d(config.in_channels, c, 1) for _ in config.strides])
        self.mask_embed = MaskEmbed(c, config.mask_channels)
        # No loss reads the captions: frozen, so that it can't upset distributed training.
        self.class_embed = nn.Parameter(torch.empty(c, config.text_channels).normal_(std=c**-0.5), requires_grad=False)
        if config.existence:
            self.classifier_query = nn.Embedding(1, c)
            reads = [ClassifierAttentionLayer(c, heads) for _ in layers]
            self.classifier_cross_attention_layers = nn.ModuleList(reads)
            self.classifier_ffn_layers = nn.ModuleList([FeedForwardLayer(c, config.ffn) for _ in layers])
            self.classifier = nn.Linear(c, 1)

    def prepare(self, maps: Sequence[Tensor], semantic: Tensor, *, dense: bool = False) -> SliceTokens:
        """From the token maps (B, C, h, w), coarse to fine, and the semantic map (B, M, H, W).

        `dense`: only what the readable computation needs.
        """
        if self.config.input_projections:
            maps = [project(grid) for project, grid in zip(self.input_proj, maps, strict=True)]
        sizes, pick = sizes_of(maps), not dense and picks_tokens(self.config, semantic)
        small = () if dense else tuple(at_tokens(semantic, size) for size in sizes)
        tokens = tuple(rows(grid, contiguous=pick) for grid in maps)
        axes = tuple(axes_of(semantic, size, self.config.hidden) for size in sizes)
        return SliceTokens(tokens, sizes, axes, semantic, small)

    @property
    def heard(self) -> Sequence[nn.Module]:
        """The queries as they leave each layer."""
        return list(self.transformer_ffn_layers)

    def insides(self, heard: Sequence[Tensor], image: SliceTokens, prompts: int, dtype: torch.dtype) -> Insides:
        """The guess after each layer, read as the answer is."""
        semantic, earlier = image.semantic.to(dtype), torch.stack(list(heard[:-1])).to(dtype)  # (layers, B·P, Q, C)
        embedded = self.mask_embed(self.decoder_norm(earlier)).mean(2).unflatten(1, (-1, prompts))  # (layers, B, P, M)
        return Insides(torch.einsum("lbpm,bmhw->lbphw", embedded, semantic), heard[-1].to(dtype))

    def find(self, image: SliceTokens, asked: Question) -> Decoded:
        """Layer by layer; see `forward`."""
        (b, p), q, words = asked.pairs, self.config.queries, asked.words
        noise, masks, energies, way, watch = asked.noise, asked.masks, asked.energies, asked.way, asked.watch
        readable = self._readable(asked.known)
        place: Tensor = self.get_parameter(f"{self._place}.weight")
        position = torch.cat([place.expand(b * p, -1, -1), words.detach()], 1)  # (B·P, Q + T, C)
        x = self.get_parameter(f"{self._content}.weight").expand(b * p, -1, -1)  # (B·P, Q, C)
        if self.config.text_prior:
            joint = self.initial_self_attention_layer(torch.cat([x, words], 1), position, readable)
            x, words = self.initial_ffn_layer(joint[:, :q]), joint[:, q:]
            watch("initial/after_self_attention_queries_and_text", joint.transpose(0, 1))
            watch("initial/after_ffn", x.transpose(0, 1))
        token = self.classifier_query.weight.expand(b * p, -1, -1) if self.config.existence else None
        looks: list[Look] = []
        for i in range(self.config.layers):
            seen = x.unflatten(0, (b, p))
            guess = self._guess(i, seen, image, way, watch)
            energy = None if energies is None else energies[i % len(image.sizes)]
            blocked = self._blocked(i, guess, noise, masks, energy, watch)
            if asked.trace:
                looks.append(Look(i, image.sizes[i % len(image.sizes)], self.config, guess, blocked, energy))
            x = self._look(i, seen, place, image, blocked, way).flatten(0, 1)
            watch(f"layer{i}/after_cross_attention", x.transpose(0, 1))
            joint = self.transformer_self_attention_layers[i](torch.cat([x, words], 1), position, readable)
            watch(f"layer{i}/after_self_attention_queries_and_text", joint.transpose(0, 1))
            x, words = self.transformer_ffn_layers[i](joint[:, :q]), joint[:, q:]
            watch(f"layer{i}/after_ffn", x.transpose(0, 1))
            if token is not None:  # it reads, and never teaches: what it reads is detached
                token = self.classifier_cross_attention_layers[i](token, joint.detach(), position.detach(), readable)
                token = self.classifier_ffn_layers[i](token)
                watch(f"layer{i}/existence_token", token.transpose(0, 1))
        if watch is not nobody:  # the guess after the last layer is recorded, but no layer needs it
            self._guess(self.config.layers, x.unflatten(0, (b, p)), image, way, watch)
        existence = None if token is None else self.classifier(token)[:, 0, 0].unflatten(0, (b, p))
        return self._answer(x.unflatten(0, (b, p)), image, existence, asked.mean, tuple(looks), way, watch)

    def _readable(self, known: Tensor | None) -> Tensor | None:
        """(B·P, 1, 1, Q + T): which rows of queries and words are no padding."""
        if known is None:
            return None
        return torch.cat([known.new_ones(len(known), self.config.queries), known], 1)[:, None, None]

    @torch.no_grad()
    def _guess(self, layer: int, x: Tensor, image: SliceTokens, way: Way | None, watch: Watch) -> Tensor:
        """(B, P, Q, L): the queries' mask probabilities on the grid of a layer. No gradients, at least fp32."""
        level = layer % len(image.sizes)
        embedded = self.mask_embed(self.decoder_norm(x))
        full = None
        if way in ("dense", "sdpa") or watch is not nobody:
            full = semantic_product(embedded, image.semantic, way)
            watch(f"head{layer}/mask_logits", full.flatten(0, 1))
        if way in ("dense", "sdpa") and full is not None:
            guess = resized_guess(full, image.sizes[level])
        else:
            small = product(embedded.flatten(1, 2), image.semantic_tokens[level])
            guess = (small.float() if small.dtype.itemsize < 4 else small).sigmoid_().view(*x.shape[:3], -1)
        watch(f"head{layer}/p_sigmoid_at_level", guess.flatten(0, 1))
        if watch is not nobody and self.config.attention == "boltzmann":
            chance = boltzmann.chance_to_miss(guess, layer, self.config)
            watch(f"head{layer}/masked_prob", chance.flatten(0, 1))
        return guess

    def _blocked(
        self,
        layer: int,
        guess: Tensor,
        noise: Noise | None,
        masks: Masks | None,
        energy: Tensor | None,
        watch: Watch,
    ) -> Tensor | None:
        """(B, P, heads or 1, Q, L): what the queries may not see in a layer; no row is all True."""
        if masks is not None:
            blocked: Tensor | None = masks[layer]
        else:
            uniform = noise(layer) if noise is not None else None
            blocked = boltzmann.blocked(guess, layer, self.config, uniform, energy)
        if blocked is None:
            return None
        heads = (-1, -1, self.config.heads, -1, -1)
        watch(f"replay/mask_{layer}", blocked.expand(heads).flatten(0, 1))
        blocked = boltzmann.open_empty_rows(blocked, energy)
        watch(f"replay/applied_mask_{layer}", blocked.expand(heads).flatten(0, 2))
        return blocked

    def _look(
        self, layer: int, x: Tensor, place: Tensor, image: SliceTokens, blocked: Tensor | None, way: Way | None
    ) -> Tensor:
        """The queries after they have read the tokens that they visit."""
        level = layer % len(image.sizes)
        sharp = sharpness(self._drawn(image.tokens[level].shape[1]), self.trained[level])
        grid = Grid(image.tokens[level], *image.axes[level], self.level_embed.weight[level], sharp)
        if way is None:
            way = cheapest(
                self.config,
                queries=x.shape[1] * x.shape[2],
                tokens=grid.tokens.shape[1],
                heads_share=blocked is not None and blocked.shape[2] == 1,
                picks=picks_tokens(self.config, grid.tokens),
                learns=torch.is_grad_enabled(),
            )
        out: Tensor = self.transformer_cross_attention_layers[layer](x, place, grid, blocked, way)
        return out

    def _drawn(self, tokens: int) -> int:
        """How many tokens of a grid a query reads, sampled with replacement."""
        return boltzmann.draws(tokens, self.config.sample_ratio) if self.config.attention == "boltzmann" else tokens

    def _answer(
        self,
        x: Tensor,
        image: SliceTokens,
        existence: Tensor | None,
        mean: bool,
        looks: Trace,
        way: Way | None,
        watch: Watch,
    ) -> Decoded:
        normed = self.decoder_norm(x)
        embedded = self.mask_embed(normed)  # (B, P, Q, M)
        watch("head_last/decoder_norm_queries", normed.flatten(0, 1))
        watch("head_last/mask_embed", embedded.flatten(0, 1))
        edge = self.config.edge_queries
        parts = embedded.split([embedded.shape[2] - edge, edge], dim=2)
        if mean:  # the mean of the masks is the mask of the mean, at a Q-th of the work
            masks = semantic_product(parts[0].mean(2, keepdim=True), image.semantic, way)
            edges = semantic_product(parts[1].mean(2, keepdim=True), image.semantic, way)[:, :, 0] if edge else None
        else:
            masks = semantic_product(embedded, image.semantic, way)
            edges = masks[:, :, -edge:].mean(2) if edge else None
        return Decoded(masks, edges, existence, normed @ self.class_embed, looks)


class SelfAttentionLayer(nn.Module):
    """Queries and words read each other. Positions enter queries and keys, never values."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, position: Tensor, readable: Tensor | None) -> Tensor:
        """(N, R, C); `readable` (N, 1, 1, R) is False where a row is padding."""
        placed = x + position
        out: Tensor = self.norm(x + self.self_attn(placed, placed, x, readable))
        return out


class ImageAttentionLayer(nn.Module):
    """Queries look at image tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, position: Tensor, grid: Grid, blocked: Tensor | None, way: Way) -> Tensor:
        """(B, P, Q, C); `blocked` (B, P, heads or 1, Q, L)."""
        out: Tensor = self.norm(x + attend(way, self.multihead_attn, x + position, grid, blocked))
        return out


class ClassifierAttentionLayer(nn.Module):
    """The existence token reads queries and words. It has no position."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)

    def forward(self, token: Tensor, x: Tensor, position: Tensor, readable: Tensor | None) -> Tensor:
        """(N, 1, C) from the token (N, 1, C) and what it reads (N, R, C)."""
        out: Tensor = self.norm(token + self.multihead_attn(token, x + position, x, readable))
        return out


class FeedForwardLayer(nn.Module):
    """Each row by itself."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = Linear(channels, inner), Linear(inner, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        out: Tensor = self.norm(x + self.linear2(F.relu(self.linear1(x))))
        return out


class MaskEmbed(nn.Module):
    """From a query to its direction in the semantic map."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Linear(channels, size) for size in (channels, channels, out)])

    def forward(self, x: Tensor) -> Tensor:
        """(…, out)."""
        first, second, last = self.layers
        out: Tensor = last(F.relu(second(F.relu(first(x)))))
        return out


def semantic_product(embedded: Tensor, semantic: Tensor, way: Way | None) -> Tensor:
    """(B, P, Q, H, W) from embedded queries (B, P, Q, M) and a semantic map (B, M, H, W)."""
    few, many = embedded.flatten(1, 2), semantic.flatten(2)
    logits = few @ many if way in ("dense", "sdpa") else product(few, many)
    return logits.view(*embedded.shape[:3], *semantic.shape[-2:])
