"""How far an errand is, read from its folder alone: whoever began it, whether or not it still runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from boltzformer.home import folder as home_folder
from boltzformer.protocol import VANISHED, ErrandState, EvaluateRequest, FinetuneRequest, command_line

MOST = 1000
"""So many rows of a curve are told at once; the next question gets the next ones."""
_asking = threading.Lock()  # two who ask at once would take each other for the errand


def running(output: Path) -> bool:
    """Whether a process works in this folder, ours or one of a terminal."""
    with _asking:
        return any(_held(path) for path in (output / PLACE / LOCK, output / ".lock"))


def asked_for(output: Path) -> FinetuneRequest | EvaluateRequest | None:
    """What began it; of a run from a terminal, what its folder tells."""
    told = _json(output / PLACE / ASKED)
    kind, request = told.get("kind"), told.get("request", {})
    try:
        if kind == "evaluate":
            return EvaluateRequest(**request)
        if kind == "finetune":
            return FinetuneRequest(**request)
    except TypeError:
        return None
    config = _json(output / "config.json")
    if "source" not in config or "parent" not in config:
        return None
    return FinetuneRequest(str(config["source"]), str(output), str(config["model"]), str(config["mode"]))


def state_of(output: Path, after: int = 0) -> ErrandState:
    """Now. Rows of the curve after this step, the earliest first."""
    request = asked_for(output)
    active = running(output)
    if request is None and not active:
        return ErrandState(str(output), "absent")
    if isinstance(request, EvaluateRequest):
        return _evaluation(output, request, active)
    return _finetuning(output, request, active, after)


def _finetuning(output: Path, request: FinetuneRequest | None, active: bool, after: int) -> ErrandState:
    config, lines = _json(output / "config.json"), list(_lines(output / PLACE / LINES))
    nothing: dict[str, Any] = {}
    plan = next((line for line in reversed(lines) if line.get("event") == "plan"), nothing)
    begun = max((at for at, line in enumerate(lines) if line.get("event") == "begun"), default=0)
    now = lines[begun:]  # how far it was before it went on is past
    progress = next((line for line in reversed(now) if "step" in line or line.get("event") == "asking"), nothing)
    notes = list(dict.fromkeys(line["text"] for line in lines if line.get("event") == "note"))
    log = _text(output / "log.jsonl").splitlines()
    last = next((row for row in map(_row, reversed(log)) if row), {})
    done, error = (output / "done.json").is_file(), _error(output)
    model = output / "model.safetensors"
    if not active and _vanished(output) and not done:
        notes.append(f"{VANISHED} (killed, or the memory was full): Resume goes on from what was saved.")
    parent = str(config.get("parent", ""))
    return ErrandState(
        output=str(output),
        state="running" if active else "finished" if done else "failed" if error else "stopped",
        kind="finetune",
        step=int(last.get("step", 0)),
        steps=int(config.get("recipe", {}).get("steps", 0)),
        asked=int(progress.get("asked", 0)) if active else 0,
        pictures=int(progress.get("pictures", 0)) if active else 0,
        judging=bool(progress.get("judging")) and active,
        losses={name: value for name, value in last.items() if name not in ("step", "seconds")},
        curve=_curve(log, after),
        checks=[line for line in _lines(output / "checks.jsonl") if "at_step" in line],
        eta=progress.get("eta") if active else None,
        plan=plan,
        notes=notes,
        error="" if active or done else error,
        result={} if active else _json(output / "gate.json"),
        before=_kept(parent) or str(config.get("model", "" if request is None else request.model)),
        model=str(model) if model.is_file() else "",
        command="" if request is None else command_line(request.arguments()),
    )


def _evaluation(output: Path, request: EvaluateRequest, active: bool) -> ErrandState:
    error, done = _error(output), _json(output / PLACE / ENDED).get("code") == 0
    return ErrandState(
        output=str(output),
        state="running" if active else "finished" if done else "failed" if error else "stopped",
        kind="evaluate",
        error="" if active else error,
        result=_json(output / "metrics.json") if done else {},
        command=command_line(request.arguments()),
    )


def _held(path: Path) -> bool:
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return False  # nobody works where nothing can be written
    lock.release()
    return False


def _error(output: Path) -> str:
    """The last word of one that failed."""
    code = _json(output / PLACE / ENDED).get("code", 0)
    if code in (0, STOPPED):
        return ""
    words = [line.strip() for line in _text(output / PLACE / SAID).splitlines() if line.strip()]
    if not words:
        return f"It ended with code {code} and without a word: run it in a terminal to see more."
    return words[-1].removeprefix("boltzformer: ")


def _vanished(output: Path) -> bool:
    place = output / PLACE
    return (place / PID).is_file() and not (place / ENDED).is_file()


def _kept(parent: str) -> str:
    """The parent's own copy, if it once had a name that another model may carry by now."""
    found = sorted((home_folder("models") / "lineage").glob(f"*/*-{parent[:12]}.safetensors")) if parent else []
    return str(found[0]) if found else ""


def _curve(log: list[str], after: int) -> list[dict[str, float]]:
    """Read from the end: the whole log of a long run is not parsed for its last row."""
    rows: list[dict[str, float]] = []
    for row in map(_row, reversed(log)):
        if row and row["step"] <= after:
            break
        if row:
            rows.append(row)
    return rows[::-1][:MOST]


def _row(line: str) -> dict[str, float]:
    """Empty where a line is cut off, for it is being written."""
    try:
        row = json.loads(line, parse_constant=lambda _: None)
        return {name: float(value) for name, value in row.items() if value is not None} if "step" in row else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in _text(path).splitlines():
        try:
            told = json.loads(line, parse_constant=lambda _: None)
        except ValueError:
            continue  # cut off
        if isinstance(told, dict):
            yield told


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text("utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


PLACE = "errand"
LOCK, PID, LINES, SAID, ENDED, ASKED = "lock", "pid", "lines.jsonl", "said.txt", "ended.json", "asked.json"
STOPPED = 143
"""Exit code of one that was asked to stop before it could keep anything."""
