"""What follows from the options: the mode that memory and time allow, the steps, and the plan in words."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import replace
from typing import Any

import torch

from boltzformer.engine.devices import fast_half
from boltzformer.errors import BoltzFormerError, OutOfMemory
from boltzformer.knowledge.card import Card
from boltzformer.learn.finetune.asking import new_targets, phrases_of
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.need import Predicted, available, matrix_speed, predict
from boltzformer.learn.finetune.options import (
    CHECKS,
    MEANING,
    MODES,
    STEPS_WITHOUT_A_WISH,
    Frozen,
    Mode,
    Options,
    in_rounds,
)
from boltzformer.learn.finetune.sampling import mini
from boltzformer.learn.finetune.together import Together
from boltzformer.learn.recipe import Recipe
from boltzformer.version import VERSION
from boltzformer.weights.checkpoint import Checkpoint

ROOM = 0.9
"""Share of the free memory that a run may take."""
PATIENCE_S = 3600.0
"""A mode that takes longer than this is not chosen where a quicker one would do."""
LEAST_STEPS = 20
"""A mode that makes fewer steps in the minutes asked for learns too little."""
BY_QUALITY: tuple[Mode, ...] = ("full", "lora", "decoder", "existence")


def decide(options: Options, base: Checkpoint, lessons: Lessons, device: torch.device, team: Together) -> Frozen:
    """Everything but the steps that --minutes allows, which are measured later."""
    if options.shard_model and team.world == 1:
        raise BoltzFormerError(
            "--shard-model shares a model among several processes, and this one is alone: begin with "
            "torchrun --nproc-per-node 2 -m boltzformer finetune, or leave it away."
        )
    half = fast_half(device) and options.precision == "auto"
    shared = team.world if options.shard_model else 1
    threads = options.threads or max(1, _cores() // team.here)
    torch.set_num_threads(threads)
    speed, free = matrix_speed(device, half), int(ROOM * available(device))
    steps = _steps(options, lessons)

    def look(mode: Mode, micro: int) -> Predicted:
        recipe = options.recipe(base.config, mode, steps)
        return predict(base, recipe, mode, micro=micro, speed=speed, rank=options.rank, half=half, shared=shared)

    mode, micro = _mode(options, look, steps, free)
    recipe = shared_evenly(options.recipe(base.config, mode, steps), team.world)
    learnt = {} if mode == "existence" else _learnt(base, lessons)
    return Frozen(
        model=str(base.path.resolve()) if options.model != "default" else "default",
        parent=base.sha256,
        mode=mode,
        recipe=in_rounds(recipe, steps, len(lessons.train), known=not new_targets(base, lessons.targets)),
        rank=options.rank,
        micro=micro,
        threads=threads,
        device=str(device),
        cache=options.cache,
        source=str(options.source.resolve()),
        data=lessons.data,
        held_back=lessons.held_back,
        targets=options.targets,
        learnt=learnt,
        check_every=max(1, math.ceil(steps / CHECKS)),
        world=team.world,
        sharded=options.shard_model,
        environment={
            "napari-boltzformer": VERSION,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "bfloat16": half,
            "launch": team.launch,
        },
    )


def shared_evenly(recipe: Recipe, world: int) -> Recipe:
    """So that every process has as many pictures of each batch: the last, smaller ones grow where they must."""
    if recipe.batch % world:
        raise BoltzFormerError(
            f"{world} processes can't share batches of {recipe.batch} pictures evenly: give a --batch that is a "
            f"multiple of {world}."
        )
    return replace(recipe, final=replace(recipe.final, batch=world * math.ceil(recipe.final.batch / world)))


def _mode(options: Options, look: Any, steps: int, free: int) -> tuple[Mode, int]:
    """The best mode that fits, and how many samples it takes at once (0: all)."""
    asked = [one for one in MODES if one == options.mode]
    for mode in asked or [one for one in BY_QUALITY if one in ("full", "decoder")]:
        micro = options.micro
        found = look(mode, micro)
        while found.memory > free and (micro or options.batch or 8) > 1:
            micro = (micro or options.batch or 8) // 2
            found = look(mode, micro)
        if found.memory > free:
            if asked:
                raise OutOfMemory(
                    f"--mode {mode} needs {found.memory / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
                    "choose --mode decoder or existence, or close other programs."
                )
            continue
        budget = PATIENCE_S if options.minutes is None else 60 * options.minutes
        needed = found.seconds * (steps if options.minutes is None else LEAST_STEPS)
        if asked or needed <= budget or mode == "decoder":
            return mode, micro
    found = look("decoder", 1)
    raise OutOfMemory(
        f"Even --mode decoder needs {found.memory / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free: "
        "close other programs, or use a smaller model."
    )


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _steps(options: Options, lessons: Lessons) -> int:
    if options.epochs is None:
        return options.steps or STEPS_WITHOUT_A_WISH
    recipe = options.recipe_as_written()
    new = max(1, round(recipe.batch * (1 - recipe.replay)))
    return max(1, math.ceil(options.epochs * len(lessons.train) / new))


def _learnt(base: Checkpoint, lessons: Lessons) -> dict[str, str]:
    """New target → its phrases; prompts that mean something already keep their meaning."""
    targets = lessons.targets
    card = Card.of(base.history.notes)
    known = [text for one in (card.targets if card else ()) for text in (one.name, *one.prompts)]
    known += [text for picture in mini() for texts in picture.prompts.values() for text in texts]
    new = new_targets(base, targets)
    own = {text for name in new for text in (name, *targets[name])}
    known = [text for text in known if text not in own]
    lines = {}
    for name in new:
        others = [text for other in targets if other != name for text in (other, *targets[other])]
        line = phrases_of(name, targets[name], [*known, *others])
        if line:
            lines[name] = line
    return lines


def by_mode(
    frozen: Frozen, options: Options, base: Checkpoint, lessons: Lessons, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Memory and time of each mode that this model can be taught in, and whether it fits: for a person who chooses."""
    half = bool(frozen.environment.get("bfloat16"))
    speed, free, steps = matrix_speed(device, half), ROOM * available(device), _steps(options, lessons)
    told: dict[str, dict[str, Any]] = {}
    for mode in MODES:
        if mode == "existence" and not base.config.decoder.existence:
            continue
        recipe = options.recipe(base.config, mode, steps)
        found = predict(base, recipe, mode, micro=options.micro, speed=speed, rank=options.rank, half=half)
        told[mode] = {
            "what learns": MEANING[mode],
            "memory_gb": round(found.memory / 1e9, 2),
            "fits": found.memory <= free,
            "seconds_per_step": round(found.seconds, 3),
            "predicted_seconds": round(found.seconds * steps if options.minutes is None else 60 * options.minutes, 1),
        }
    return told


def planned(
    frozen: Frozen, options: Options, base: Checkpoint, lessons: Lessons, device: torch.device
) -> dict[str, Any]:
    """For the person who decides whether it begins."""
    half = bool(frozen.environment.get("bfloat16"))
    speed = matrix_speed(device, half)
    found = predict(
        base,
        frozen.recipe,
        frozen.mode,
        micro=frozen.micro,
        speed=speed,
        rank=frozen.rank,
        half=half,
        shared=frozen.world if frozen.sharded else 1,
    )
    seconds = 60 * options.minutes if options.minutes is not None else found.seconds * frozen.recipe.steps
    return {
        "mode": frozen.mode,
        "what learns": MEANING[frozen.mode],
        "trainable": found.trainable,
        "memory_gb": round(found.memory / 1e9, 2),
        "free_gb": round(available(device) / 1e9, 2),
        "seconds_per_step": round(found.seconds, 2),
        "predicted_seconds": round(seconds, 1),
        "planned_steps": None if options.minutes is not None else frozen.recipe.steps,
        "batch": frozen.recipe.batch,
        "device": frozen.device,
        "threads": frozen.threads,
        "pictures": len(lessons.train),
        "held_back_pictures": len(lessons.validation),
        "targets": sorted(lessons.targets),
        "new_targets": sorted(frozen.learnt),
        "model": base.history.name or base.path.stem,
    }
