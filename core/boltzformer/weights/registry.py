"""Models by name: files in the models folder, each there whole or not at all, and how they get there."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from boltzformer.atomic import flush
from boltzformer.errors import CheckpointError
from boltzformer.home import folder, model_file
from boltzformer.model.boltzformer import BoltzFormer
from boltzformer.model.config import ModelConfig
from boltzformer.weights import checkpoint, hub
from boltzformer.weights.checkpoint import Checkpoint
from boltzformer.weights.convert import Origin, Report, convert
from boltzformer.weights.download import Received
from boltzformer.weights.hub import card_of, licence_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
PREVIOUS = {"boltzformer-small-1": "03494fc6484a01b950a1c871c2f85f1c7439983bd3a68f480c4c7df4e79bad53"}
"""Default models of earlier times, for comparison: the SHA-256 of their files. They are not shipped twice."""


@dataclass(frozen=True)
class Registered:
    """A model that can be used by its name from now on."""

    checkpoint: Checkpoint
    report: Report | None
    """What its conversion said; None for a file of our own, which is only copied."""

    @property
    def name(self) -> str:
        """What `--model` calls it."""
        return self.checkpoint.path.stem


def resolve(model: str | Path) -> Path:
    """'default', the model that the package carries, the name of a registered one, the path of a file, or
    'owner/repository[:file]' on the hub, which is downloaded and converted at its first use."""
    if str(model) == "default":
        return Path(str(files("boltzformer") / "assets" / "default.safetensors"))
    if isinstance(model, str) and Path(model).name == model and model_file(model).is_file():
        return model_file(model)
    if model in PREVIOUS and not Path(model).exists():
        raise CheckpointError(
            f"'{model}', an earlier default model, is not on this computer: take core/boltzformer/assets/"
            f"default.safetensors of the release or commit that carried it (SHA-256 {PREVIOUS[str(model)][:12]}…), and "
            "give it to `boltzformer models import`."
        )
    if isinstance(model, str) and not Path(model).exists():
        return on_hub(model) or Path(model)
    return Path(model)


def load(model: str | Path) -> tuple[BoltzFormer, Checkpoint]:
    """The model of a name or a file, on the CPU and ready for use, and what its file says."""
    return checkpoint.load(resolve(model))


def registered() -> dict[str, Path]:
    """Name → file, by name."""
    return {file.stem: file for file in sorted(folder("models").glob("*.safetensors")) if not file.name.startswith(".")}


def add(
    file: Path,
    name: str = "",
    *,
    overwrite: bool = False,
    origin: Origin | None = None,
    config: ModelConfig | None = None,
    skip: Sequence[str] = (),
) -> Registered:
    """Copy a model file of our own into the folder, or convert any other into it. Only what loads is registered.

    Without a name it is called as its file is, an earlier default model by the name that it has in `PREVIOUS`.
    """
    name = name or _previous(file) or re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")
    target = _free(name, overwrite)
    place = target.parent / f".{secrets.token_hex(8)}"  # nothing has its name before it is whole and was loaded once
    part = place / target.name
    report = None
    try:
        if checkpoint.is_ours(file):
            checkpoint.load(file)
            place.mkdir(parents=True)
            shutil.copyfile(file, part)
            if origin is not None and origin.card:
                card_of(part).write_text(origin.card, encoding="utf-8")
            elif card_of(file).is_file():
                shutil.copyfile(card_of(file), card_of(part))
            flush(part)
        else:
            report = convert(file, part, origin=origin, name=name, config=config, skip=skip)
            checkpoint.load(part)
        card_of(target).unlink(missing_ok=True)
        for made in (card_of(part), part):
            if made.is_file():
                os.replace(made, target.parent / made.name)
    except OSError as error:
        raise CheckpointError(
            f"{file} can't be brought to {target.parent} ({error.strerror or error}): "
            "free some space, or choose another place with BOLTZFORMER_HOME."
        ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return Registered(checkpoint.read(target), report)


def get(
    what: str, name: str = "", *, overwrite: bool = False, skip: Sequence[str] = ()
) -> Iterator[hub.Offered | Received | hub.Fetched | Registered]:
    """Download, check, convert and register a model from the hub. The last event is `Registered`."""
    spot = hub.spot_of(what)
    if spot is None:
        known = ", ".join(hub.KNOWN)
        raise CheckpointError(f"'{what}' names nothing on the hub: give owner/repository:file, or one of: {known}.")
    name = name or spot.name
    _free(name, overwrite)
    for event in hub.fetch(spot):
        yield event
        if isinstance(event, hub.Fetched):
            origin = Origin(str(spot), licence_in(event.card), event.card, event.checksum)
            made = add(event.path, name, overwrite=overwrite, origin=origin, skip=skip)
            event.discard()
            yield made


def on_hub(model: str) -> Path | None:
    """The file of a model that is named by its place on the hub, fetched if this is its first use; else None."""
    spot = hub.spot_of(model)
    if spot is None:
        return None
    if model_file(spot.name).is_file():
        return model_file(spot.name)
    if model in hub.KNOWN:
        raise CheckpointError(
            f"'{model}' is not on this computer yet: `boltzformer models get {model}` downloads and converts it."
        )
    *_, last = get(model)
    assert isinstance(last, Registered)
    return last.checkpoint.path


def remove(name: str) -> Path:
    """Forget a registered model and delete our copy of it."""
    target = _target(name)
    if not target.is_file():
        known = ", ".join(registered()) or "none"
        raise CheckpointError(f"There is no registered model '{name}' (registered: {known}): nothing was removed.")
    try:
        target.unlink()
        card_of(target).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{target} can't be removed ({error.strerror}): check its permissions.") from error
    return target


def _previous(file: Path) -> str:
    if not file.is_file() or not checkpoint.is_ours(file):
        return ""
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    return next((name for name, known in PREVIOUS.items() if known == found), "")


def _free(name: str, overwrite: bool) -> Path:
    """Where a model of this name will lie, if it may."""
    target = _target(name)
    if target.exists() and not overwrite:
        raise CheckpointError(f"A model '{name}' is registered already: choose another --name, or give --overwrite.")
    return target


def _target(name: str) -> Path:
    return model_file(demand_name(name))


def demand_name(name: str) -> str:
    """A name that a model can have."""
    if name == "default":
        raise CheckpointError("'default' names the model that comes with the program: choose another name.")
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"{name!a} can't name a model: use letters, digits, dots, dashes and underscores.")
    return name
