"""`Engine`: a volume and prompts in, one event per finished slice out. All model work happens where it is iterated."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boltzformer import __version__, checkpoint
from boltzformer.checkpoint import Checkpoint
from boltzformer.errors import BoltzFormerError
from boltzformer.intensity import Window
from boltzformer.model.boltzformer import Answer, BoltzFormer, ImageState
from boltzformer.model.text import TextState
from boltzformer.model.trace import Look
from boltzformer.slicing import SlicePlan, to_int8
from boltzformer.types import LookTrace, Prediction, Prompt, SamplingTrace, SliceResult, Started, Volume, as_prompts


def load(model: str | Path = "default") -> Engine:
    """An engine with this model: 'default' or a .safetensors file.

    The same number of threads everywhere, so that scripts and viewers get the same bits; one core stays free.
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
    return Engine(*checkpoint.load(model))


class Engine:
    """A model, ready to segment. Runs on the CPU in fp32."""

    def __init__(self, model: BoltzFormer, about: Checkpoint) -> None:
        self.model, self.about = model, about

    def segment(
        self,
        volume: Volume,
        prompts: str | Prompt | Sequence[str | Prompt],
        *,
        seed: int = 0,
        start: int | None = None,
        slices: Iterable[int] | None = None,
        window: Window | None = None,
    ) -> Iterator[Started | SliceResult | Prediction]:
        """`Started`, a `SliceResult` per slice (from `start` outwards, or just `slices`), last a `Prediction`."""
        asked, window = as_prompts(prompts), window or volume.window()
        plan = self.plan(volume)
        order = outwards(plan.count, start) if slices is None else check_slices(slices, plan.count)
        return self._run(volume, asked, plan, window, order, seed)

    def trace(
        self, volume: Volume, prompt: str | Prompt, index: int, *, seed: int = 0, window: Window | None = None
    ) -> SamplingTrace:
        """Where the model looked on one slice: exactly the looks that gave `segment` its answer."""
        (one,), window = as_prompts(prompt), window or volume.window()
        plan = self.plan(volume)
        check_slices([index], plan.count)
        with torch.inference_mode():
            image = self._encode(volume, plan, window, index)
            answer = self._decode(
                image, self.model.encode_text([one.text]), one, plan.canonical_index(index), seed, True
            )
        return SamplingTrace(tuple(_look_trace(look) for look in answer.trace))

    def plan(self, volume: Volume) -> SlicePlan:
        """How this model would cut the volume."""
        config = self.model.config
        return SlicePlan.of(
            volume.grid, config.image_size, volume.slice_axis, channels=config.channels, resampler=config.resampler
        )

    def _run(
        self,
        volume: Volume,
        prompts: tuple[Prompt, ...],
        plan: SlicePlan,
        window: Window,
        order: Sequence[int],
        seed: int,
    ) -> Iterator[Started | SliceResult | Prediction]:
        yield Started(plan, len(order))
        with torch.inference_mode():  # unpadded, so that an answer never depends on the prompts beside it
            texts = [self.model.encode_text([prompt.text]) for prompt in prompts]
        done: list[SliceResult] = []
        for index in order:
            with torch.inference_mode():
                image, middle = self._encode(volume, plan, window, index), plan.canonical_index(index)
                answers = [
                    self._decode(image, text, prompt, middle, seed) for text, prompt in zip(texts, prompts, strict=True)
                ]
            logits = to_int8(torch.stack([answer.logits[0, 0] for answer in answers]).numpy())
            existence = np.array([_existence(answer) for answer in answers], np.float32)
            done.append(SliceResult(index, logits, existence))
            yield done[-1]
        history = self.about.history
        facts = {
            "software": f"napari-boltzformer {__version__}, torch {torch.__version__}",
            "model": {
                "name": history.name,
                "sha256": self.about.sha256,
                "trained on": history.data,
            },
            "image": {
                "name": volume.name,
                "sha256": hashlib.sha256(np.ascontiguousarray(volume.array).data).hexdigest(),
            },
            "prompts": [prompt.text for prompt in prompts],
            "seed": seed,
            "window": {"low": window.low, "high": window.high, "kind": window.kind, "zero": window.zero_is_background},
            "plan": {"plane": plan.plane, "axis": plan.axis, "size": plan.size},
            "device": "cpu",
            "dtype": "float32",
            "notice": "Research only, not for clinical use.",
        }
        yield Prediction(prompts, tuple(sorted(done, key=lambda result: result.index)), plan, facts)

    def _encode(self, volume: Volume, plan: SlicePlan, window: Window, index: int) -> ImageState:
        return self.model.encode_image(torch.from_numpy(plan.network_slice(volume.array, window, index))[None])

    def _decode(
        self, image: ImageState, text: TextState, prompt: Prompt, middle: int, seed: int, trace: bool = False
    ) -> Answer:
        """One slice and one prompt at one fixed shape, whatever runs beside it."""

        def noise(layer: int) -> Tensor:
            shape = self.model.decoder.noise_shape(image.tokens, 1, layer)
            return torch.rand(shape, generator=noise_source(seed, middle, prompt.text, layer))

        return self.model.decode(image, text, noise, trace)


def noise_source(seed: int, middle: int, prompt: str, layer: int, sample: int = 0) -> torch.Generator:
    """Noise belongs to (seed, canonical slice, prompt, sample, layer): not to a batch, an order or a run."""
    identity = f"{seed}\0{middle}\0{prompt}\0{sample}\0{layer}".encode()
    number = int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest()) >> 1
    return torch.Generator().manual_seed(number)


def _existence(answer: Answer) -> float:
    """Probability that the object is in the slice; without a classifier, the surest pixel's (uncalibrated both)."""
    logit = answer.logits.amax() if answer.existence is None else answer.existence[0, 0]
    return float(logit.sigmoid())


def _look_trace(look: Look) -> LookTrace:
    guess, probability, visited = (x[0, 0].float().numpy() for x in (look.guess, look.probability, look.visited))
    return LookTrace(look.scale, look.temperature, guess, probability, visited)


def outwards(count: int, start: int | None) -> list[int]:
    """All slices, the visible one first, then its neighbours on both sides."""
    middle = count // 2 if start is None else min(max(start, 0), count - 1)
    return sorted(range(count), key=lambda index: (abs(index - middle), index))


def check_slices(slices: Iterable[int], count: int) -> list[int]:
    """Each asked slice once, in the order asked."""
    order = list(dict.fromkeys(int(index) for index in slices))
    outside = [index for index in order if not 0 <= index < count]
    if outside or not order:
        raise BoltzFormerError(f"Slices {outside or order} don't exist: the volume has slices 0 to {count - 1}.")
    return order
