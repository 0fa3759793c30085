"""From the features of one slice to the answers of all prompts: samples with noise that has an identity, their mean and
spread, bent where the user pointed and only there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from boltzformer.image.guidance import Guidance, Hint
from boltzformer.image.slicing import to_int8
from boltzformer.masks.objects import pieces
from boltzformer.model import boltzmann
from boltzformer.model.boltzformer import Answer, BoltzFormer, ImageState
from boltzformer.model.decoder import Energies, Noise
from boltzformer.model.slice_tokens import Look
from boltzformer.model.text import TextState
from boltzformer.types import FLOOR, LookTrace, Prompt, SliceResult

Combine = Callable[[int, NDArray[np.float32], float], tuple[NDArray[np.float32], float]]
"""From a slice's number, its logits (h, w) and existence to others."""


@dataclass(frozen=True)
class Question:
    """What is asked about every slice of a run."""

    prompts: tuple[Prompt, ...]
    seed: int
    samples: int
    guidance: tuple[Guidance, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One draw's answer to one prompt about one slice, in float32 on the CPU."""

    logits: Tensor
    """(h, w)."""
    existence: float
    edges: Tensor | None
    """(h, w)."""


def answer(
    model: BoltzFormer,
    image: ImageState,
    texts: Sequence[TextState],
    question: Question,
    index: int,
    middle: int,
    together: int = 1,
    hints: Sequence[Hint] = (),
    how: Combine | None = None,
) -> SliceResult:
    """The answer for the slice with stored number `index` and canonical number `middle`; a hint per prompt, or none.

    `how` puts what else is known to the model's own logits and existence, before a user's hand has the last word.
    """
    drawn = sample(model, image, texts, question, middle, together, hints)
    lifted = np.array([one.lifts for one in hints])
    logits: list[NDArray[np.int8]] = []
    spreads: list[NDArray[np.uint8]] = []
    edges: list[NDArray[np.int8]] = []
    existence: list[float] = []
    for number in range(len(question.prompts)):
        some = [next(drawn) for _ in range(question.samples)]
        existence.append(sum(one.existence for one in some) / len(some))
        mean, spread = _mean_and_spread([one.logits for one in some])
        own = mean.numpy()
        if how is not None:
            own, existence[-1] = how(index, own, existence[-1])
        found = existence[-1] >= FLOOR or (lifted.any() and lifted[number])
        bent = obeyed(own, hints[number]) if hints else own
        logits.append(to_int8(bent) if found else np.full(mean.shape, -128, np.int8))
        spreads.append(spread * np.uint8(found))
        outlines = [one.edges for one in some if one.edges is not None]
        if outlines:
            outline = to_int8(_mean_and_spread(outlines)[0].numpy())
            edges.append(outline if found else np.full(outline.shape, -128, np.int8))
    return SliceResult(
        index,
        np.stack(logits),
        np.array(existence, np.float32),
        np.stack(spreads) if question.samples > 1 else None,
        np.stack(edges) if edges else None,
        lifted if lifted.any() else None,
    )


def sample(
    model: BoltzFormer,
    image: ImageState,
    texts: Sequence[TextState],
    question: Question,
    middle: int,
    together: int = 1,
    hints: Sequence[Hint] = (),
) -> Iterator[Sample]:
    """Prompt by prompt, the samples of each; `together` of them go through the decoder at once.

    At one by one every draw has the same shape, so a CPU gives it the same bits whatever is asked beside it.
    """
    draws: list[tuple[TextState, Draw, Hint]] = [
        (text, (prompt.text, k), one)
        for text, prompt, one in zip(texts, question.prompts, hints or [Hint()] * len(texts), strict=True)
        for k in range(question.samples)
    ]
    for start in range(0, len(draws), together):
        some = draws[start : start + together]
        noise = noise_for(model, image, [draw for _, draw, _ in some], middle, question.seed)
        energies = energies_of(model, image, [one for _, _, one in some])
        given = model.decode(image, beside([text for text, _, _ in some]), noise, energies=energies)
        logits = given.logits[0].float().cpu()  # (P, h, w)
        edges = None if given.edges is None else given.edges[0].float().cpu()
        for p, existence in enumerate(_existence(given)):
            yield Sample(logits[p], existence, None if edges is None else edges[p])


def energies_of(model: BoltzFormer, image: ImageState, hints: Sequence[Hint]) -> Energies | None:
    """What the hints of a slice add to its guesses, a row per hint; None where all of them say nothing."""
    if not any(hints):
        return None
    grids = zip(image.tokens.sizes, model.config.decoder.strides, strict=True)
    rows = [torch.stack([boltzmann.energy(one, size, stride) for one in hints]) for size, stride in grids]
    return [grid[None, :, None].to(image.tokens.semantic.device) for grid in rows]  # (1, P, 1, L) each


def beside(texts: Sequence[TextState]) -> TextState:
    """Prompts that were encoded one by one, padded to the longest for a common batch."""
    if len(texts) == 1:
        return texts[0]
    longest = max(text.mask.shape[1] for text in texts)
    tokens = [F.pad(text.tokens, (0, 0, 0, longest - text.mask.shape[1])) for text in texts]
    masks = [F.pad(text.mask, (0, longest - text.mask.shape[1])) for text in texts]
    return TextState(torch.cat(tokens), torch.cat(masks))


def _existence(given: Answer) -> list[float]:
    """Probability that the object is in the slice; without a classifier, the surest pixel's (uncalibrated)."""
    logits = given.logits[0].flatten(1).amax(1) if given.existence is None else given.existence[0]
    chances: list[float] = logits.float().cpu().sigmoid().tolist()
    return chances


def _mean_and_spread(logits: Sequence[Tensor]) -> tuple[Tensor, NDArray[np.uint8]]:
    """Logits of the mean probability, and the probabilities' standard deviation, 255 = 0.5; one sample is itself."""
    if len(logits) == 1:
        return logits[0], np.zeros(logits[0].shape, np.uint8)
    chance = torch.stack(list(logits)).sigmoid()  # (K, h, w)
    spread = chance.std(0, correction=0) * 510
    return chance.mean(0).logit(1e-6), spread.round().to(torch.uint8).numpy()


Draw = tuple[str, int]
"""A prompt's text and the number of the sample."""


def noise_source(seed: int, middle: int, prompt: str, layer: int, sample: int = 0) -> torch.Generator:
    """Always the CPU's generator, so that a GPU draws with the same numbers."""
    identity = f"{seed}\0{middle}\0{prompt}\0{sample}\0{layer}".encode()
    number = int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest()) >> 1
    return torch.Generator().manual_seed(number)


def noise_for(model: BoltzFormer, image: ImageState, draws: Sequence[Draw], middle: int, seed: int) -> Noise:
    """What the decoder asks for, of one slice and the draws that it decodes together."""

    def noise(layer: int) -> Tensor:
        shape = model.decoder.noise_shape(image.tokens, 1, layer)
        rows = [torch.rand(shape, generator=noise_source(seed, middle, text, layer, k)) for text, k in draws]
        return torch.cat(rows, dim=1).to(image.tokens.semantic.device)  # (1, P, heads or 1, Q, L)

    return noise


SURE = 1.0
"""Logit that an answer has at least (or at most, with a minus) at a point of the user: a probability of 0.73."""
NOTHING = -8.0
"""Logit of what the user took away: the lowest that travels, so no threshold brings it back."""


def obeyed(logits: NDArray[np.float32], hint: Hint) -> NDArray[np.float32]:
    """(h, w) logits, bent where the hint says so; else the very same.

    "Here" raises them by a Gaussian that makes the point sure, so the outline follows what the model half believed.
    "Not here" removes the object that the point lies in. Outside of the boxes there is nothing.
    """
    if not hint.bends:
        return logits
    bent = logits.copy()
    rows, columns = ((np.arange(n) + 0.5) * hint.bends / n for n in logits.shape)  # centres, in pixels
    for point in sorted(hint.points, key=lambda one: one.here):  # what is taken away first: "here" has the last word
        away = (rows[:, None] - point.row) ** 2 + (columns - point.column) ** 2
        bell = np.exp(away / (-2 * point.width**2)).astype(np.float32)
        row, column = np.unravel_index(away.argmin(), away.shape)
        if point.here:
            bent += max(0.0, SURE - float(bent[row, column])) * bell
        else:
            objects = pieces(bent > 0)
            if objects[row, column]:
                bent[objects == objects[row, column]] = NOTHING
            bent -= max(0.0, SURE + float(bent[row, column])) * bell
    if hint.boxes:
        inside = np.zeros(logits.shape, bool)
        for box in hint.boxes:
            inside |= (
                ((rows >= box.top) & (rows <= box.bottom))[:, None] & (columns >= box.left) & (columns <= box.right)
            )
        bent[~inside] = NOTHING
    return bent


def look_trace(look: Look) -> LookTrace:
    """As a viewer shows it, of the first prompt."""
    guess, probability, visited = (x[0, 0].float().cpu().numpy() for x in (look.guess, look.probability, look.visited))
    return LookTrace(look.scale, look.temperature, guess, probability, visited)
