"""Text: from a prompt to the tokens that the decoder reads.

A CLIP-style transformer with the published parameter names. Prompts are padded only to share a batch; the padding is
marked and never attended, so a prompt's tokens do not depend on the prompts beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from boltzformer.model.config import ConfigError, TextConfig
from boltzformer.model.layers import Attention

EPS = 1e-12
"""Of every layer norm in here."""


class Tokenizer(Protocol):
    """Text → token ids, start and end included; the end has the largest id of all."""

    def __call__(self, text: str) -> list[int]: ...


class ByteTokenizer:
    """One token per UTF-8 byte: no table to ship, no unknown words. Capitals and extra spaces make no difference."""

    start, end = 256, 257

    def __call__(self, text: str) -> list[int]:
        return [self.start, *" ".join(text.lower().split()).encode(), self.end]


class TableTokenizer:
    """A tokenizer in the JSON format of the `tokenizers` library, e.g. CLIP's."""

    def __init__(self, table: str) -> None:
        from tokenizers import Tokenizer as Table  # heavy, and not needed by our own models

        self.table = table
        self._table = Table.from_str(table)
        self._table.no_truncation()
        self._table.no_padding()

    def __call__(self, text: str) -> list[int]:
        return list(self._table.encode(text).ids)


@dataclass(frozen=True)
class TextState:
    """What the decoder reads of a prompt."""

    tokens: Tensor
    """(P, T, C), or (B, P, T, C) where each image has prompts of its own."""
    mask: Tensor
    """(P, T) or (B, P, T) bool: False is padding."""


def reference_padding(text: TextState, fill: float) -> TextState:
    """For parity only: the released code attends to its padding, filled with 0 (v2, v1 training) or -1 (v1 eval)."""
    tokens = text.tokens.masked_fill(~text.mask[..., None], fill)
    return TextState(tokens, torch.ones_like(text.mask))


class LearntPhrases:
    """Which prompts carry learnt rows: those that hold a phrase as whole words; after '=' only the very phrase."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._phrases = [(phrase, number) for number, some in enumerate(lines) for phrase in some.split("\n")]

    def named(self, prompt: str) -> int | None:
        """The number of the target, by the longest phrase that fits; None for all prompts that nobody taught."""
        said = f" {plain_words(prompt)} "
        fits = [
            (len(phrase), -number)
            for phrase, number in self._phrases
            if (said.strip() == phrase[1:] if phrase.startswith("=") else f" {phrase} " in said)
        ]
        return -max(fits)[1] if fits else None


def plain_words(text: str) -> str:
    """Lower case, single spaces, no punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


class Mlp(nn.Module):
    """Two linear layers with CLIP's quick GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.c_fc(x)
        out: Tensor = self.c_proj(inner * torch.sigmoid(1.702 * inner))
        return out


class Block(nn.Module):
    """Attention and MLP, norm first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.ln_1 = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width)
        self.ln_2 = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor, attend: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, attend)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Transformer(nn.Module):
    """Token ids → hidden states."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.causal = config.causal
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context, config.width))
        self.resblocks = nn.ModuleList([Block(config.width, config.heads) for _ in range(config.layers)])
        self.ln_final = nn.LayerNorm(config.width, EPS)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)

    def attend(self, mask: Tensor) -> Tensor:
        """(1 or P, 1, 1 or T, T) bool: read left to right, or everything but padding."""
        if self.causal:  # padding comes after the end, so no real token sees it
            length = mask.shape[1]
            return torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()[None, None]
        return mask[:, None, None, :]

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(P, T, width) from ids (P, T) and mask (P, T)."""
        x, attend = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]], self.attend(mask)
        for block in self.resblocks:
            x = block(x, attend)
        out: Tensor = self.ln_final(x)
        return out


class TextEncoder(nn.Module):
    """Prompts → `TextState`."""

    def __init__(self, config: TextConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.context = config.context
        self.tokenizer = ByteTokenizer() if config.tokenizer == "bytes" else tokenizer
        self.encoder_transformer = Transformer(config)
        self.lang_proj = nn.Parameter(torch.empty(config.width, config.projection).normal_(std=config.width**-0.5))
        self.learnt = LearntPhrases(config.learnt)
        if config.learnt:  # so that models without any keep exactly the published names
            self.learnt_rows = nn.Parameter(torch.zeros(len(config.learnt), config.learnt_rows, config.projection))
        # Stored by the published weights and used by nobody: frozen, so that it can't upset distributed training.
        self.logit_scale = nn.Parameter(torch.ones([]), requires_grad=False)

    def forward(self, prompts: Sequence[str] | Sequence[Sequence[int]]) -> TextState:
        """Each prompt as text, or as token ids with start and end."""
        ids, mask = self.batch([self.tokenize(prompt) for prompt in prompts])
        tokens = self.embed(ids, mask)
        return self._with_learnt(TextState(tokens.masked_fill(~mask[..., None], 0), mask), prompts)

    def _with_learnt(self, text: TextState, prompts: Sequence[str] | Sequence[Sequence[int]]) -> TextState:
        """Behind the words of a prompt come the rows that were learnt for it; of no other prompt anything changes."""
        meant = [self.learnt.named(prompt) if isinstance(prompt, str) else None for prompt in prompts]
        if all(number is None for number in meant):
            return text
        count = self.learnt_rows.shape[1]
        nothing = self.learnt_rows.new_zeros(count, self.learnt_rows.shape[2])
        rows = torch.stack([nothing if number is None else self.learnt_rows[number] for number in meant])
        known = torch.tensor([[number is not None] * count for number in meant], device=text.mask.device)
        return TextState(torch.cat([text.tokens, rows.to(text.tokens.dtype)], 1), torch.cat([text.mask, known], 1))

    def embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(P, T, projection) from ids (P, T) and mask (P, T)."""
        tokens: Tensor = self.encoder_transformer(ids, mask) @ self.lang_proj
        return tokens

    def tokenize(self, prompt: str | Sequence[int]) -> list[int]:
        """Ids of one prompt, cut to the context; the end token stays."""
        if isinstance(prompt, str):
            if self.tokenizer is None:
                raise ConfigError("This model needs CLIP's token table to read text: load it with its checkpoint.")
            ids = self.tokenizer(prompt)
        else:
            ids = list(prompt)
        return ids if len(ids) <= self.context else [*ids[: self.context - 1], ids[-1]]

    def batch(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids (P, T) padded to the longest prompt, and where they are real."""
        longest, device = max(map(len, prompts)), self.lang_proj.device
        rows = [F.pad(torch.tensor(ids, device=device), (0, longest - len(ids))) for ids in prompts]
        lengths = torch.tensor([len(ids) for ids in prompts], device=device)
        return torch.stack(rows), torch.arange(longest, device=device) < lengths[:, None]
