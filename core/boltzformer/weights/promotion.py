"""Models that take their parent's place: under one name, with their lineage, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzformer.atomic import replacing, write_text
from boltzformer.errors import BoltzFormerError, CheckpointError
from boltzformer.home import folder, model_file
from boltzformer.speaking import say
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.checkpoint import Checkpoint
from boltzformer.weights.registry import demand_name

GATE = "gate.json"


def history_of(name: str) -> list[dict[str, Any]]:
    """What carried this name, oldest first; the last one does now."""
    path = _folder(name) / "lineage.json"
    try:
        known: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.is_file() else []
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read ({error}): remove it to begin a new lineage.") from error
    return known


def promote(run: Path, name: str, *, anyway: bool = False, note: str = "") -> Checkpoint:
    """Registers the model of a run under a name; what had that name before is kept for `roll_back`."""
    model, verdict = run / "model.safetensors", _verdict(run)
    if not verdict.get("promoted") and not anyway:
        because = "; ".join(verdict.get("because", ())) or "the run tells of no comparison with its parent"
        raise BoltzFormerError(f"{run} is not promoted: {because}. Give --anyway if you have looked at it yourself.")
    about = registry.load(model)[1]
    target, lineage = model_file(demand_name(name)), history_of(name)
    if target.is_file() and not lineage:
        lineage.append(_kept(name, target, 0, "as it was registered"))
    entry = _kept(name, model, len(lineage), note or ("looked at by a person" if anyway else "passed the gate"))
    entry |= {"parent": about.history.parent, "taught": verdict.get("taught now", []), "numbers": verdict.get("taught")}
    _place(_folder(name) / entry["file"], target)
    _write(name, [*lineage, entry])
    return checkpoint.read(target)


def roll_back(name: str) -> Checkpoint:
    """The model before this one gets the name back."""
    lineage = history_of(name)
    if len(lineage) < 2:
        raise CheckpointError(
            f"There is nothing before '{name}' to go back to: see `boltzformer models lineage {name}`."
        )
    _place(_folder(name) / lineage[-2]["file"], model_file(name))
    _write(name, lineage[:-1])
    return checkpoint.read(model_file(name))


def _folder(name: str) -> Path:
    return folder("models") / "lineage" / name


def _kept(name: str, source: Path, number: int, note: str) -> dict[str, Any]:
    """A copy in the lineage, and what is said of it."""
    about = checkpoint.read(source)
    file = f"{number:04d}-{about.sha256[:12]}.safetensors"
    _place(source, _folder(name) / file)
    return {"file": file, "sha256": about.sha256, "model": about.history.name, "note": note}


def _place(source: Path, target: Path) -> None:
    """A copy that is there whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as part:
            shutil.copyfile(source, part)
    except OSError as error:
        raise CheckpointError(
            f"{source} can't be copied to {target.parent} ({error.strerror or error}): free some space."
        ) from error


def _write(name: str, lineage: list[dict[str, Any]]) -> None:
    write_text(_folder(name) / "lineage.json", json.dumps(lineage, indent=1))


def _verdict(run: Path) -> dict[str, Any]:
    try:
        verdict: dict[str, Any] = json.loads((run / GATE).read_text("utf-8"))
    except FileNotFoundError as error:
        begun = (run / "config.json").is_file()
        what = "the command that began it goes on with it" if begun else "give the --output of one"
        raise BoltzFormerError(f"{run} is no finished fine-tuning: {what}.") from error
    except (OSError, ValueError) as error:
        raise BoltzFormerError(f"{run} is no finished fine-tuning ({error}): give the --output of one.") from error
    return verdict


def promote_command(
    run: Annotated[Path, typer.Argument(help="The folder of a fine-tuning.")],
    name: Annotated[str, typer.Option(help="What to call it; the model of this name is kept for a roll-back.")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Although the gate did not let it pass.")] = False,
    note: Annotated[str, typer.Option(help="A sentence for the lineage.")] = "",
) -> None:
    """Let a fine-tuned model take a name, if it is better and no worse elsewhere."""
    about = promote(run, name, anyway=anyway, note=note)
    say(f"'{name}' is now {about.history.name} (sha256 {about.sha256[:12]})")


def rollback_command(name: Annotated[str, typer.Argument(help="As `models list` shows it.")]) -> None:
    """Give a name back to the model that had it before."""
    about = roll_back(name)
    say(f"'{name}' is again {about.history.name or 'the model before'} (sha256 {about.sha256[:12]})")


def lineage_command(
    name: Annotated[str, typer.Argument(help="As `models list` shows it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, on standard output.")] = False,
) -> None:
    """Which models carried a name, the last one now."""
    lineage = history_of(name)
    if as_json:
        say(json.dumps(lineage))
        return
    for one in lineage or [{"sha256": "", "model": f"'{name}' has no lineage", "note": ""}]:
        say(f"{one['sha256'][:12]:14}{one['model']}  {one['note']}")
