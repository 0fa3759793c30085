"""The four modes: what trains, what stays as it is, and whether the encoder's work can be kept on disk."""

from __future__ import annotations

from typing import Literal, get_args

from boltzformer.errors import BoltzFormerError
from boltzformer.learn.finetune.adapters import adapt
from boltzformer.learn.finetune.prompts import learnt_parameter
from boltzformer.model.boltzformer import BoltzFormer

Mode = Literal["existence", "decoder", "lora", "full"]
MODES: tuple[Mode, ...] = get_args(Mode)

MEANING: dict[Mode, str] = {
    "existence": "only whether the object is there; masks stay exactly as they are",
    "decoder": "all but the image encoder and the text encoder",
    "lora": "small corrections to every matrix; can be passed on without the base model",
    "full": "every weight",
}
_CLASSIFIER = ("classifier_query", "classifier_cross_attention_layers", "classifier_ffn_layers", "classifier.")
_FROZEN = ("backbone.", "sem_seg_head.predictor.language_encoder.")
_DEAD = ("class_embed", "logit_scale")
"""Of the published weights: no answer depends on them."""


def prepare(model: BoltzFormer, mode: Mode, *, rank: int = 8, seed: int = 0) -> None:
    """Marks what is to learn, and puts corrections on for `lora`."""
    config = model.config.decoder
    if mode == "existence" and not config.existence:
        raise BoltzFormerError(
            "This model has no existence classifier, so --mode existence trains nothing: use decoder."
        )
    if mode == "lora":
        adapt(model, rank, seed)
    for name, parameter in model.named_parameters():
        if mode == "existence":
            parameter.requires_grad_(is_claim(name))
        elif mode == "decoder":
            parameter.requires_grad_(not name.startswith(_FROZEN))
        elif mode == "full":
            parameter.requires_grad_(True)
        if name.endswith(_DEAD):
            parameter.requires_grad_(False)
    rows = learnt_parameter(model)
    if rows is not None:
        rows.requires_grad_(mode != "existence")


def is_claim(name: str) -> bool:
    """Whether a weight belongs to the existence classifier: no mask depends on it."""
    return name.removeprefix("sem_seg_head.predictor.").startswith(_CLASSIFIER)


def keeps_features(mode: Mode) -> bool:
    """Whether the image encoder never changes, so that its maps can be kept."""
    return mode in ("existence", "decoder")
