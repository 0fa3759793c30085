"""Which published files exist, how they name what our model calls otherwise, and what in them is not the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig, biomedparse_v2, focal_l, hiera_bp, hiera_s

WRAPPERS = re.compile(r"^(?:(?:model|module|_orig_mod)\.)+")
"""What Lightning, data-parallel training and compilation put before every name."""

UNEXPLAINED = "has, unexplained,"
"""The complaint about a name that no rule covers."""

Rules = tuple[tuple[re.Pattern[str], str], ...]
"""Pattern → replacement, or pattern → reason for leaving it out."""


def _rules(table: Mapping[str, str]) -> Rules:
    return tuple((re.compile(pattern), meaning) for pattern, meaning in table.items())


# X-Decoder and SEEM, from which the reference took its text encoder, name it otherwise.
_REFERENCE = _rules(
    {
        r"^sem_seg_head\.predictor\.lang_encoder\.lang_encoder\.": (
            "sem_seg_head.predictor.language_encoder.encoder_transformer."
        ),
        r"^sem_seg_head\.predictor\.lang_encoder\.": "sem_seg_head.predictor.language_encoder.",
    }
)
_TRAINING = _rules({r"^\w*(?:loss|criterion|metric)\w*\.": "losses and metrics, used in training only"})
_SAM2 = _rules({r"^image_encoder\.": "backbone."})
_SAM2_REST = _rules(
    {
        r"^(?:memory_attention|memory_encoder|mask_downsample|maskmem_tpos_enc|no_mem_embed|no_mem_pos_enc"
        r"|no_obj_ptr|no_obj_embed_spatial|obj_ptr_proj|obj_ptr_tpos_proj)(?:\.|$)": "SAM 2's memory of video frames",
        r"^(?:sam_prompt_encoder|sam_mask_decoder)\.": "SAM 2's prompts and masks",
    }
)


@dataclass(frozen=True)
class Layout:
    """One kind of published file."""

    name: str
    origin: str
    """Whose weights they are, for the model's card."""
    config: ModelConfig
    rename: Rules = _REFERENCE
    skip: Rules = _TRAINING
    part: str = ""
    """Beginning of the names that the file fills, if it is not the whole model."""

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """What the file must hold, by our names."""
        return {name: shape for name, shape in _shapes(self.config).items() if name.startswith(self.part)}

    def likeness(self, names: Iterable[str]) -> float:
        """How much a file's names are those of this kind: 0…1."""
        given, expected = set(self.named(names).values()), self.shapes.keys()
        return len(given & expected) / len(given | expected)

    def named(self, names: Iterable[str]) -> dict[str, str]:
        """The file's names → ours, without those that `reason` explains."""
        return {name: self.ours(name) for name in names if not self.reason(name)}

    def without(self, beginnings: Iterable[str]) -> Layout:
        """The same, but whatever begins so is left out because the user says so."""
        asked = _rules({f"^{re.escape(WRAPPERS.sub('', start))}": "as asked" for start in beginnings})
        return replace(self, skip=self.skip + asked)

    def ours(self, name: str) -> str:
        """Our name for a parameter of the file."""
        name = WRAPPERS.sub("", name)
        for pattern, replacement in self.rename:
            name = pattern.sub(replacement, name, count=1)
        return name

    def reason(self, name: str) -> str:
        """Why something in the file is left out; empty if it is part of the model."""
        bare = WRAPPERS.sub("", name)
        return next((reason for pattern, reason in self.skip if pattern.match(bare)), "")


@cache
def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in BoltzFormer(config).state_dict().items()}


def _whole(name: str, origin: str, preset: Callable[[], ModelConfig]) -> Layout:
    return Layout(name, origin, preset())


def _encoder(name: str, origin: str, preset: Callable[[], ModelConfig]) -> Layout:
    return Layout(name, origin, preset(), _SAM2, _SAM2_REST, "backbone.")


LAYOUTS = (
    _whole("biomedparse_v2", "BiomedParse v2", biomedparse_v2),
    _whole("boltzformer focal-l", "BoltzFormer with FocalNet-L", focal_l),
    _whole("boltzformer hiera-s", "BoltzFormer with Hiera-S", hiera_s),
    _whole("boltzformer hiera-b+", "BoltzFormer with Hiera-B+", hiera_bp),
    _encoder("sam2 hiera small", "SAM 2's image encoder, small", hiera_s),
    _encoder("sam2 hiera base+", "SAM 2's image encoder, base plus", hiera_bp),
)
"""Every file that is recognised by itself."""


def complaints(layout: Layout, tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """What keeps a file from being of this layout: kind of trouble → names. Empty if it fits key for key."""
    named, expected = layout.named(tensors), layout.shapes
    given: dict[str, list[str]] = {}
    for theirs, ours in named.items():
        given.setdefault(ours, []).append(theirs)
    both = [ours for ours in given if ours in expected]
    found = {
        "lacks": [ours for ours in expected if ours not in given],
        UNEXPLAINED: [names[0] for ours, names in given.items() if ours not in expected],
        "has twice": [" and ".join(names) for names in given.values() if len(names) > 1],
        "has the wrong shape at": [
            f"{name} ({tuple(tensors[name].shape)} instead of {tuple(expected[ours])})"
            for ours in both
            for name in given[ours]
            if tensors[name].shape != expected[ours]
        ],
        "does not hold floating point numbers at": [
            name for ours in both for name in given[ours] if not tensors[name].is_floating_point()
        ],
    }
    return {trouble: names for trouble, names in found.items() if names}
