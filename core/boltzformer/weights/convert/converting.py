"""From published weights to one file of our own: recognise, explain every name, write, and check what was written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from boltzformer.errors import CheckpointError, ConfigError
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.model.text import TableTokenizer
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import UNTRAINED, Checkpoint, History
from boltzformer.weights.convert import tables
from boltzformer.weights.convert.archive import Contents, opened
from boltzformer.weights.convert.tables import LAYOUTS, UNEXPLAINED, Layout, complaints
from boltzformer.weights.hub import FRONT, UNSTATED, card_of

ENOUGH = 0.2
"""A file so like a layout is held against it, name by name; one less alike is of another kind."""
SHOWN = 3


@dataclass(frozen=True)
class Origin:
    """Where weights come from, as far as it is known."""

    source: str = ""
    """E.g. 'owner/repository:file'."""
    licence: str = ""
    card: str = ""
    """The origin's own model card, kept word for word."""
    checksum: str = ""
    """Of the file, where it was checked already; a SHA-256 is not computed again."""


@dataclass(frozen=True)
class Report:
    """What became of a file's content."""

    checkpoint: Checkpoint
    layout: str
    loaded: int
    """So many tensors."""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Reason → names that were left out."""
    random: tuple[str, ...] = ()
    """Parts of the model that the file says nothing about."""
    notes: tuple[str, ...] = ()
    start: bool = False
    """Whether only what fits was taken."""

    def __str__(self) -> str:
        return self.in_words(SHOWN)

    def in_words(self, shown: int | None = None) -> str:
        """All of it, with so many names of each kind, or every one."""
        fits = "all that fit by name and shape" if self.start else "every name and shape fits"
        lines = [f"read as {self.layout}: {self.loaded} tensors loaded, {fits}"]
        for reason, names in self.skipped.items():
            lines.append(f"left out, {reason}: {_few(names, shown)}")
        if self.random:
            lines.append(f"not in the file and random until trained: {', '.join(self.random)}")
        return "\n".join([*lines, *self.notes])


def convert(
    source: str | Path,
    target: str | Path,
    *,
    origin: Origin | None = None,
    name: str = "",
    config: ModelConfig | None = None,
    skip: Sequence[str] = (),
    start: bool = False,
) -> Report:
    """Write the weights of `source` as a model file of our own, with a card beside it.

    Kinds that are recognised: see `tables.LAYOUTS`; `config` describes a model of other sizes with the reference's
    names. Fails if anything in the file is left unexplained; names that begin as in `skip` count as explained. Numbers
    go from disk to disk, not through memory. `start`: as a start for training, take whatever fits and tell the rest.
    """
    path, origin = Path(source), origin or Origin()
    contents = opened(path)
    layout = _as_start(path, contents, config, skip) if start else _recognised(path, contents, config, skip)
    named = layout.named(contents.tensors)
    weights = {ours: contents.tensors[theirs] for theirs, ours in named.items()}
    _refuse_infinite(path, weights)
    model, notes = _made(layout)
    random = _random(model, weights)
    model.load_state_dict(weights, strict=not (layout.part or start), assign=True)
    skipped = _skipped(layout, contents)
    history = History(
        name=name or layout.name,
        data=f"{UNTRAINED}: {layout.origin}, the rest is random" if random else f"published weights of {layout.origin}",
        licence=origin.licence,
        notes={
            "converted from": origin.source or path.name,
            "source sha256": _sha256(path, origin.checksum),
            "layout": layout.name,
        },
    )
    written = checkpoint.save(target, model, history)
    _check(written, weights)
    report = Report(written, layout.name, len(weights), skipped, random, notes, start)
    write_card(written, origin.source or path.name, origin.card, report.in_words())
    return report


def _recognised(path: Path, contents: Contents, config: ModelConfig | None, skip: Sequence[str]) -> Layout:
    """The layout that fits, or the sentence that says which names don't."""
    names = contents.tensors.keys()
    kinds = LAYOUTS if config is None else (Layout("the given configuration", "a model of its own sizes", config),)
    layouts = [layout.without(skip) for layout in kinds]
    nearest = max(layouts, key=lambda layout: layout.likeness(names))
    if nearest.likeness(names) < ENOUGH:
        known = ", ".join(layout.name for layout in layouts)
        raise CheckpointError(
            f"{path} holds weights of another architecture (they begin with {next(iter(names))}): "
            f"files of these kinds can be converted: {known}."
        )
    if trouble := complaints(nearest, contents.tensors):
        told = "; it ".join(f"{what} {_few(names)}" for what, names in trouble.items())
        ways = ["get the file again"]
        if UNEXPLAINED in trouble:
            ways.append("leave out by --skip what is not the model's")
        if config is None:
            ways.append("give its configuration by --config if it was made with other sizes")
        raise CheckpointError(
            f"{path} does not fit {nearest.name}: it {told}. Nothing was written: {', or '.join(ways)}."
        )
    return nearest


def _as_start(path: Path, contents: Contents, config: ModelConfig | None, skip: Sequence[str]) -> Layout:
    """What of X-Decoder's names the model shares."""
    wanted = tables.XDECODER if config is None else replace(tables.XDECODER, config=config)
    layout = wanted.without(skip).fitting(contents.tensors)
    if not layout.named(contents.tensors):
        raise CheckpointError(
            f"{path} has no tensor that fits the model by name and shape (it begins with "
            f"{next(iter(contents.tensors))}): give weights of X-Decoder or SEEM, or the model's --config."
        )
    return layout


def _made(layout: Layout) -> tuple[BoltzFormer, tuple[str, ...]]:
    """The model to fill: without memory if the file fills it, else with the same random start every time."""
    text = layout.config.text
    notes: tuple[str, ...] = ()
    tokenizer = TableTokenizer(tables.table()) if text.vocabulary == tables.VOCABULARY else None
    if text.tokenizer == "clip" and tokenizer is None:
        notes = (f"its {text.vocabulary} words are not CLIP's {tables.VOCABULARY}: prompts must be given as numbers",)
    if layout.part or layout.start:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return BoltzFormer(layout.config, tokenizer), notes
    with torch.device("meta"):
        return BoltzFormer(layout.config, tokenizer), notes


def _random(model: BoltzFormer, weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The parts that the file leaves as they were made, each by the shortest name that means nothing else."""
    filled = {name[:end] for name in weights for end in [*(m.start() for m in re.finditer(r"\.", name)), len(name)]}
    parts: dict[str, None] = {}
    for name in model.state_dict():
        if name not in weights:
            words = name.split(".")
            ways = (".".join(words[:count]) for count in range(1, len(words) + 1))
            parts.setdefault(next(way for way in ways if way not in filled and way != "sem_seg_head"))
    return tuple(parts)


def _skipped(layout: Layout, contents: Contents) -> dict[str, tuple[str, ...]]:
    """Everything of the file that is not in the model, with the reason."""
    found: dict[str, list[str]] = {}
    for name in contents.tensors:
        if reason := layout.reason(name):
            found.setdefault(reason, []).append(name)
    for name in contents.strange:
        found.setdefault("not numbers", []).append(name)
    for name in contents.beside:
        found.setdefault("kept by the training program, not part of the model", []).append(name)
    return {reason: tuple(names) for reason, names in found.items()}


def _refuse_infinite(path: Path, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path} holds numbers at {name} that are infinite or none: its training failed or the file is "
                "damaged; get it again, or take an earlier checkpoint."
            )


def _check(written: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """What lies on the disk is what was in the source, bit for bit."""
    with safe_open(written.path, framework="pt") as file:
        for name, tensor in weights.items():
            if not torch.equal(file.get_tensor(name), tensor):
                raise CheckpointError(f"{written.path} came out different at {name}: check the disk and convert again.")


def read_config(path: Path) -> ModelConfig:
    """A model's configuration from a JSON file, as `ModelConfig.to_dict` gives it."""
    try:
        return ModelConfig.from_dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{path} does not describe a model ({error}): give ModelConfig.to_dict() as JSON."
        ) from error


def _sha256(path: Path, known: str) -> str:
    if re.fullmatch(r"[0-9a-f]{64}", known):
        return known
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _few(names: Sequence[str], shown: int | None = SHOWN) -> str:
    few = names[:shown]
    return ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "")


def write_card(model: Checkpoint, source: str, original: str, report: str) -> Path:
    """Our words first, then the origin's own card, untouched."""
    licence = model.history.licence or UNSTATED
    lines = [
        "---",
        f"license: {licence if re.fullmatch(r'[A-Za-z0-9.+-]+', licence) else 'other'}",
        "library_name: napari-boltzformer",
        "---",
        f"# {model.history.name}",
        "",
        f"Converted by napari-boltzformer from {source}. Research only, not for clinical use.",
        "",
        f"Licence: {licence}. The weights stay under the licence of their origin.",
        "",
        f"SHA-256 of the source: {model.history.notes.get('source sha256', '')}",
        "",
        "```",
        report,
        "```",
    ]
    if original.strip():
        lines += ["", "## The origin's own card", "", FRONT.sub("", original).strip()]
    place = card_of(model.path)
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place
