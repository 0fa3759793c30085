"""Which published files exist, how they name what our model calls otherwise, what in them is not the model; CLIP's
table of byte pairs as a tokenizer that travels inside a checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

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
    start: bool = False
    """Whatever fits is taken, for a training to begin with."""

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

    def fitting(self, tensors: Mapping[str, Tensor]) -> Layout:
        """The same, but whatever does not fit by name, shape and kind of number is left out, each for its reason."""
        expected, taken, reasons = self.shapes, set[str](), dict[str, str]()
        for theirs, ours in self.named(tensors).items():
            if ours not in expected:
                reasons[theirs] = "this model has nothing of that name"
            elif tensors[theirs].shape != expected[ours]:
                reasons[theirs] = "of another shape here"
            elif not tensors[theirs].is_floating_point():
                reasons[theirs] = "no floating point numbers"
            elif ours in taken:
                reasons[theirs] = "there twice"
            else:
                taken.add(ours)
        rules = _rules({f"^{re.escape(WRAPPERS.sub('', name))}$": reason for name, reason in reasons.items()})
        return replace(self, skip=self.skip + rules)

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

XDECODER = Layout("a start from X-Decoder or SEEM", "X-Decoder or SEEM", focal_l(), start=True)
"""What the reference's trainings begin with (`xdecoder_focall_last_oq101.pt`): images and words it knows, nothing of
medicine; it lacks the first reading of the prompt and the up-scaling, and has heads for boxes and captions."""


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


START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 49408
"""256 bytes, the same at the end of a word, 48 894 merges, start and end."""
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""A word is a run of letters, one digit, a run of signs, or an English ending."""


@cache
def table() -> str:
    """The tokenizer in the JSON format of the `tokenizers` library, as `TableTokenizer` reads it.

    Start and end are added around a prompt and are not words of it: a prompt that spells them out stays ordinary text.
    """
    text = (files("boltzformer") / "assets" / "clip" / "merges.txt").read_text("utf-8")
    merges = text.splitlines()
    letters = _letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *(m.replace(" ", "") for m in merges), START, END]
    vocabulary = {word: number for number, word in enumerate(words)}
    whole = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                # As CLIP's own cleaning does: the quotes that phones and word processors set are the plain ones.
                {"type": "Replace", "pattern": {"Regex": "[‘’]"}, "content": "'"},
                {"type": "Replace", "pattern": {"Regex": "[“”]"}, "content": '"'},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_special(START), {"Sequence": {"id": "A", "type_id": 0}}, _special(END)],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                token: {"id": token, "ids": [vocabulary[token]], "tokens": [token]} for token in (START, END)
            },
        },
        "model": {
            "type": "BPE",
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "vocab": vocabulary,
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return json.dumps(whole, ensure_ascii=False)


def _special(token: str) -> dict[str, object]:
    return {"SpecialToken": {"id": token, "type_id": 0}}


def _letters() -> list[str]:
    """One visible character per byte, in the order of the published numbering: the visible ones stand for themselves
    and come first, the others follow as the characters from 256 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = 256 - len(visible)
    return [chr(code) for code in visible] + [chr(256 + number) for number in range(hidden)]
