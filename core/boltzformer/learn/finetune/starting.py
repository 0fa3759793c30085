"""`Start`: model, data and what the parent says of them, before anything learns."""

from __future__ import annotations

import time

import torch

from boltzformer.engine import devices
from boltzformer.engine.provenance import own_gate
from boltzformer.learn.finetune import report
from boltzformer.learn.finetune.asking import asked, engine_with, replies
from boltzformer.learn.finetune.lessons import Lessons
from boltzformer.learn.finetune.options import Frozen, prepare
from boltzformer.learn.finetune.prompts import with_learnt
from boltzformer.learn.finetune.sampling import Pool, Reference, check, mini, remember
from boltzformer.weights import checkpoint
from boltzformer.weights.checkpoint import Checkpoint

JUDGED = 60
"""So many pictures of the validation are asked at the beginning and at the end."""
LARGE = 50_000_000
"""Models with more parameters are reminded of fewer pictures: each takes them long."""


class Start:
    """The same for a run that begins and for one that goes on."""

    def __init__(self, base: Checkpoint, lessons: Lessons, frozen: Frozen) -> None:
        self.base, self.lessons = base, lessons
        self.place = devices.choose(frozen.device)
        torch.set_num_threads(frozen.threads)
        devices.repeatable()
        torch.manual_seed(frozen.recipe.seed)
        model, _ = checkpoint.load(base.path)
        model.to(self.place.device)
        every = 1 if base.parameters < LARGE else 4
        parent = engine_with(model, base, self.place)
        recalled = remember(parent, mini()[::every], frozen.recipe.seed).seen if frozen.recipe.replay else ()
        started = time.monotonic()
        self.reference: Reference = remember(parent, check()[::every], frozen.recipe.seed)
        self.validation = lessons.validation[:JUDGED]
        self.parent = tuple(asked(parent, self.validation))
        self.shown = report.chosen(lessons)
        self.before = [replies(parent, one, [one.prompts[name][0]]) for one, name in self.shown]
        self.asking_seconds = time.monotonic() - started
        """What the parent took for what is asked again at the end."""
        grown = model if frozen.mode == "existence" else with_learnt(model, base, frozen.learnt, frozen.recipe.seed)
        grown.to(self.place.device)
        prepare(grown, frozen.mode, rank=frozen.rank, seed=frozen.recipe.seed)
        self.model = grown
        self.pool = Pool(lessons.train, recalled, frozen.learnt)
        self.parent_gate = own_gate(base)
