"""`Recipe`: everything that decides a training but the data; read from TOML, refused with a sentence if wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from boltzformer.errors import ConfigError
from boltzformer.learn.augment import Strength


@dataclass(frozen=True)
class Final:
    """The last part of a training, on whole images at the size of use."""

    share: float = 0.0
    side: int = 512
    batch: int = 4


@dataclass(frozen=True)
class OptimizerRecipe:
    """AdamW, warm-up, then half a cosine down to nothing."""

    rate: float = 6e-4
    weight_decay: float = 0.05
    warm_up: int = 500
    clip: float = 1.0
    average: float = 0.999
    """Decay of the running mean of the weights, which is what a training makes; 0 keeps the last."""
    schedule: str = "cosine"
    """'cosine' after the warm-up, or 'constant'."""
    encoder: float = 1.0
    """The image encoder's rate, as a share of the others'."""


@dataclass(frozen=True)
class LossRecipe:
    """Weights beside the published loss."""

    deep: float = 0.3
    """Of the masks that the queries guess after each layer but the last."""
    dense: float = 1.0
    """Of a head with one output per target, dropped afterwards."""
    presence: float = 1.0
    """Of a linear reading of the queries, dropped afterwards."""
    positive: float = 3.0
    kind: str = "gated"
    """'gated' (BiomedParse v2: masks learn where the object is, existence everywhere) or 'overlap' (the paper)."""


@dataclass(frozen=True)
class Recipe:
    """One training."""

    name: str = "model"
    seed: int = 0
    steps: int = 1000
    batch: int = 16
    side: int = 256
    present: int = 2
    """Prompts per image about targets that are there; one about an absent target joins them."""
    small: float = 1.0
    """Targets that are usually under 1 % of their image are drawn so many times as often."""
    plain: float = 0.0
    """Share of the prompts that are put together from target, anatomy and modality."""
    typed: float = 0.0
    """Share of the prompts that are the name alone or in a sentence, as users type (`corpus.TYPED`)."""
    healthy: bool = False
    """Whether absent prompts are also drawn from what a picture's patient was chosen not to have."""
    vacant: float = 0.0
    """Of the samples from volumes, the share that shows a slice without the target."""
    save_every: int = 100
    """Steps between two states that a run can go on from."""
    prompts: int = 3
    """Fine-tuning: prompts per image, the last of them about something that is not there."""
    replay: float = 0.0
    """Fine-tuning: share of the samples that recall what the model could do before."""
    anchor: float = 0.0
    """Fine-tuning: how strongly the weights are drawn back to where they began, per unit of learning rate."""
    views: int = 0
    """Fine-tuning: how often a round shows every picture, about; 0: the whole run is one round."""
    views_known: int = 0
    """Fine-tuning: the same where the model was taught all of the targets before; 0: no other."""
    round: int = 0
    """Fine-tuning: steps of a round, as decided for a run. Every round begins at the parent; their mean is kept."""
    patience: int = 0
    """Fine-tuning: validations without a better result after which it stops; 0 goes on to the end."""
    precision: str = "auto"
    """'auto': bfloat16 where the device is quick at it; or 'float32'."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What differs from the preset `default` of the model, e.g. {'decoder': {'attention': 'full'}}."""
    final: Final = field(default_factory=Final)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    augmentation: Strength = field(default_factory=Strength)

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "side", "present", "prompts", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"The recipe's {name} is {getattr(self, name)}: give at least 1.")
        if self.precision not in ("auto", "float32"):
            raise ConfigError(f"The recipe's precision is {self.precision!r}: give 'auto' or 'float32'.")
        if self.loss.kind not in ("gated", "overlap") or self.optimizer.schedule not in ("cosine", "constant"):
            raise ConfigError("The recipe's loss.kind is 'gated' or 'overlap', its schedule 'cosine' or 'constant'.")
        if self.side % 32 or self.final.side % 32:
            raise ConfigError(f"Sides of {self.side} and {self.final.side} pixels: give multiples of 32.")

    def within(self, step: int) -> tuple[int, int]:
        """Which step of its round it is, and how many the round has."""
        if not self.round:
            return step, self.steps
        first = step // self.round * self.round
        return step - first, min(self.round, self.steps - first)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Recipe:
        """From plain values; an unknown name is refused."""
        made: Recipe = _build(Recipe, data, "")
        return made


PARTS: dict[str, type[Any]] = {
    "final": Final,
    "optimizer": OptimizerRecipe,
    "loss": LossRecipe,
    "augmentation": Strength,
}


def read_recipe(name: str) -> Recipe:
    """One that ships, by name, or a TOML file."""
    own = files("boltzformer") / "learn" / "recipes" / f"{name}.toml"
    path = Path(str(own)) if own.is_file() else Path(name)
    try:
        return Recipe.from_dict(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        known = ", ".join(sorted(Path(one.name).stem for one in (files("boltzformer") / "learn" / "recipes").iterdir()))
        raise ConfigError(f"There is no recipe '{name}': give one of {known}, or the path of a .toml file.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The recipe {path} is no TOML ({error}): mend it.") from error


def _build(kind: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ConfigError(f"The recipe's {where.rstrip('.')} must be a table of names.")
    pattern, values = kind(), {}
    known = {f.name for f in fields(kind)}
    for name, value in data.items():
        if name not in known:
            raise ConfigError(f"The recipe names {where}{name}, which is unknown: use {', '.join(sorted(known))}.")
        wanted = getattr(pattern, name)
        if name in PARTS:
            value = _build(PARTS[name], value, f"{name}.")
        elif isinstance(value, list):
            value = tuple(value)
        elif isinstance(wanted, float) and type(value) is int:
            value = float(value)
        if name not in PARTS and type(value) is not type(wanted):
            raise ConfigError(f"The recipe's {where}{name} is {value!r}: give a {type(wanted).__name__}.")
        values[name] = value
    return kind(**values)
