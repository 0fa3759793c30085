"""`Options`: what a person asks of a fine-tuning; the four modes: what trains and what stays; `Frozen`: what follows,
decided once and kept in the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from boltzformer.errors import BoltzFormerError
from boltzformer.learn.finetune.adapters import adapt
from boltzformer.learn.finetune.asking import learnt_parameter
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig

CHECKS = 4
"""So many validations in a run, the last at its end."""
STEPS_WITHOUT_A_WISH = 400
SHORTEST, SHORTEST_OF_KNOWN = 80, 12
"""Steps of the shortest round; of one that teaches what the model was taught before."""


@dataclass(frozen=True)
class Options:
    """What was asked for; None and 'auto' leave it to the program."""

    source: Path
    model: str = "default"
    mode: str = "auto"
    preset: str = "finetune"
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    seed: int = 0
    batch: int | None = None
    micro: int = 0
    rate: float | None = None
    rank: int = 8
    replay: bool = True
    anchor: bool = True
    cache: bool = True
    split: Path | None = None
    targets: tuple[str, ...] = ()
    threads: int | None = None
    device: str = "auto"
    precision: str = "auto"
    shard_model: bool = False
    """Each of several processes holds a part of the model that learns."""

    def __post_init__(self) -> None:
        if self.mode not in ("auto", *MODES):
            raise BoltzFormerError(f"There is no mode '{self.mode}': choose auto, {', '.join(MODES)}.")
        if sum(one is not None for one in (self.steps, self.epochs, self.minutes)) > 1:
            raise BoltzFormerError("--steps, --epochs and --minutes say the same in three ways: give one of them.")
        for name in ("steps", "epochs", "minutes", "batch", "rate", "rank", "threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise BoltzFormerError(f"--{name} {value} is too small: give a number above 0.")
        if self.seed < 0 or self.micro < 0:
            raise BoltzFormerError("--seed and --micro-batch must not be negative.")
        if self.shard_model and self.mode != "full":
            raise BoltzFormerError(
                "--shard-model is for --mode full, where every weight learns: give both, or leave it away."
            )

    def recipe_as_written(self) -> Recipe:
        """Before it is fitted to a model."""
        recipe = read_recipe(self.preset)
        return replace(recipe, batch=self.batch or recipe.batch, replay=recipe.replay if self.replay else 0.0)

    def recipe(self, config: ModelConfig, mode: Mode, steps: int) -> Recipe:
        """The recipe as this run follows it: at sizes that the model can take."""
        recipe, size = read_recipe(self.preset), config.image_size
        batch = self.batch or recipe.batch
        still = (keeps_features(mode) and self.cache) or not config.encoder.any_size
        final = replace(recipe.final, side=size, batch=min(recipe.final.batch, batch), share=recipe.final.share)
        if still:
            final = replace(final, share=0.0, batch=batch)
        deep = 0.0 if mode == "existence" or config.decoder.edge_queries else recipe.loss.deep
        if recipe.loss.kind == "gated" and not config.decoder.existence:
            recipe = replace(recipe, loss=replace(recipe.loss, kind="overlap"))
        rate = recipe.optimizer.rate if self.rate is None else self.rate
        warm_up = min(recipe.optimizer.warm_up, max(1, steps // 5))
        return replace(
            recipe,
            seed=self.seed,
            steps=steps,
            batch=batch,
            side=size if still else min(recipe.side, size),
            final=final,
            replay=recipe.replay if self.replay else 0.0,
            anchor=recipe.anchor if self.anchor else 0.0,
            save_every=max(5, min(100, steps // 6)),
            precision=self.precision,
            loss=replace(recipe.loss, deep=deep, dense=0.0),
            optimizer=replace(recipe.optimizer, rate=rate, warm_up=warm_up),
        )


def in_rounds(recipe: Recipe, steps: int, pictures: int, *, known: bool = False) -> Recipe:
    """So many steps, in rounds that show each of so many pictures about `recipe.views` times.

    Beyond that, few pictures teach little and cost the other targets; the mean of several short rounds costs less. Of
    targets that are `known` pictures of another source teach something soon, and soon to know these pictures by heart:
    shorter rounds still, `recipe.views_known`.
    """
    views, shortest = recipe.views, SHORTEST
    if known and recipe.views_known:
        views, shortest = recipe.views_known, SHORTEST_OF_KNOWN
    one = max(shortest, views * pictures / (recipe.batch * (1 - min(recipe.replay, 0.9))))
    rounds = max(1, round(steps / one)) if views else 1
    length = math.ceil(steps / rounds)
    warm_up = min(recipe.optimizer.warm_up, max(1, length // 5))
    return replace(
        recipe,
        steps=steps,
        round=length if rounds > 1 else 0,
        optimizer=replace(recipe.optimizer, warm_up=warm_up),
    )


@dataclass(frozen=True)
class Frozen:
    """All that decides the weights of a run; a run that goes on takes it from its folder."""

    model: str
    parent: str
    """Hash of the base."""
    mode: Mode
    recipe: Recipe
    rank: int
    micro: int
    threads: int
    device: str
    cache: bool
    source: str
    data: str
    """Hash of what it learns from."""
    held_back: tuple[str, ...]
    targets: tuple[str, ...]
    learnt: Mapping[str, str]
    """New target → its phrases."""
    check_every: int
    world: int = 1
    sharded: bool = False
    """Whether those processes hold the model together."""
    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> str:
        """For RUN/config.json."""
        return json.dumps({**asdict(self), "recipe": self.recipe.to_dict()}, indent=1)

    @staticmethod
    def read(path: Path) -> Frozen:
        """From RUN/config.json."""
        try:
            data = json.loads(path.read_text("utf-8"))
            data["recipe"] = Recipe.from_dict(data["recipe"])
            for name in ("held_back", "targets"):
                data[name] = tuple(data[name])
            return Frozen(**{**data, "mode": cast(Mode, data["mode"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BoltzFormerError(f"{path} can't be read ({error}): choose a new --output.") from error


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
