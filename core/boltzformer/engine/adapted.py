"""An engine that was taught by a case: the parent's weights with what was learnt added, and the neighbours' say."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.image.slicing import SlicePlan
from boltzformer.masks.lessons import Adapter, Fit
from boltzformer.masks.neighbours import Neighbours
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.types import Prompt, SliceResult
from boltzformer.weights.checkpoint import Checkpoint

SURVIVAL = 8.0
"""What the logit of the object's going on beyond the lessons is multiplied with: a model that never saw the object's
end is about so much too sure of what lies behind it (of ten targets, none did better with 4)."""
AT_MOST = 4.0
"""What it takes away at most: what the model is surer of goes on, as a cord does from which few slices were taught."""
FAR = -8.0
"""Logit of what lies beyond the image, and of what a person's own mask leaves out."""


def added(model: BoltzFormer, deltas: Mapping[str, NDArray[np.float16]]) -> BoltzFormer:
    """A model with what was learnt added; what did not change is shared with the parent's, not copied."""
    parameters = dict(model.named_parameters())
    strange = sorted(
        name for name, delta in deltas.items() if name not in parameters or tuple(parameters[name].shape) != delta.shape
    )
    if strange:
        raise CheckpointError(f"What was learnt does not fit this model ({strange[0]}): learn again with this one.")
    shared: dict[int, object] = {id(one): one for name, one in parameters.items() if name not in deltas}
    shared |= {id(one): one for one in model.buffers()}
    made = copy.deepcopy(model, shared)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name in deltas:
                delta = torch.from_numpy(deltas[name].copy()).to(parameter.device, torch.float32)
                parameter.copy_(parameter.float() + delta)
    return made.eval()


def check_bound(adapter: Adapter, about: Checkpoint, voxels: str, axis: int, prompts: tuple[Prompt, ...]) -> None:
    """Refuses another model, image, axis or prompt than it was made for; an empty hash of voxels is not compared."""
    if adapter.parent != about.sha256:
        raise CheckpointError(
            f"What was learnt belongs to another model ({adapter.parent[:12]}…, not '{about.history.name}', "
            f"{about.sha256[:12]}…): take that model, or learn again with this one."
        )
    if adapter.volume and voxels and adapter.volume != voxels:
        raise BoltzFormerError(
            "What was learnt belongs to another image: learn again from this one, starting from it if you like."
        )
    if adapter.volume and adapter.axis != axis:
        raise BoltzFormerError(f"The lessons lie along axis {adapter.axis} of the image: ask along that axis.")
    if [one.text for one in prompts] != [adapter.prompt]:
        raise BoltzFormerError(f"What was learnt is about '{adapter.prompt}': ask for it, and for it alone.")


class Combined:
    """What becomes of the model's answers in one plan."""

    def __init__(self, adapter: Adapter, plan: SlicePlan, gate: float) -> None:
        self.adapter, self.plan = adapter, plan
        self._lessons = {one.index: one for one in adapter.lessons}
        self._near = Neighbours(adapter.lessons, plan, adapter.fit) if adapter.lessons else None
        self._gate = passing(gate)

    def __call__(self, index: int, logits: NDArray[np.float32], claimed: float) -> tuple[NDArray[np.float32], float]:
        """Logits (h, w) and existence of a slice that is no lesson, put together with what its neighbours say."""
        fit = self.adapter.fit
        if self.adapter.idle:
            return logits, claimed
        made = combined(logits, None if self._near is None else said(self._near, index, self.plan, len(logits)), fit)
        # Where the outline alone decides, a slice passes the model's own gate if any of its pixels passes one half.
        drawn = _chance(float(made.max()) + self._gate)
        if fit.claim is None:
            return made, drawn
        said_so = math.log(max(claimed, 1e-9) / max(1 - claimed, 1e-9)) - fit.claim + self._gate
        return made, min(drawn, _chance(said_so))

    def given(self, index: int, side: int) -> SliceResult | None:
        """A lesson's slice as its person made it."""
        one = self._lessons.get(index)
        if one is None:
            return None
        logits = self.plan.to_answer(np.where(one.mask, np.float32(-FAR), np.float32(FAR)), side, FAR)
        quantised = np.clip(np.rint(logits * 16), -128, 127).astype(np.int8)
        there = np.array([float(one.mask.any())], np.float32)
        return SliceResult(index, quantised[None], there, given=one.mask[None].astype(np.uint8))


def passing(gate: float) -> float:
    """Logit from which something passes a gate of existence."""
    return math.log(gate / (1 - gate)) if 0 < gate < 1 else 0.0


def _chance(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -30), 30)))


@dataclass(frozen=True)
class Said:
    """What the lessons of other slices say about one, as its answers lie."""

    logits: NDArray[np.float32]
    """(h, w)."""
    survival: float


def said(near: Neighbours, index: int, plan: SlicePlan, side: int, without: Collection[int] = ()) -> Said | None:
    """About the slice with this stored number, if those left out had not been."""
    found = near.logits(index, without)
    return None if found is None else Said(plan.to_answer(found, side, FAR), near.survival(index, without))


def combined(logits: NDArray[np.float32], heard: Said | None, fit: Fit) -> NDArray[np.float32]:
    """The one definition, for fitting and for use."""
    if heard is None or fit.trust == 0:
        return logits + np.float32(fit.shift)
    survival = max(SURVIVAL * heard.survival, -AT_MOST)
    return logits + np.float32(fit.trust) * heard.logits + np.float32(survival + fit.shift)
