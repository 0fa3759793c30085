"""Fine-tuning: from corrected slices to a better model, without losing work, patients or the old skill."""

from boltzformer.learn.finetune.counting import Asking
from boltzformer.learn.finetune.options import MODES, Mode, Options
from boltzformer.learn.finetune.teach import Checked, Event, Finished, Note, Planned, finetune

__all__ = ["MODES", "Asking", "Checked", "Event", "Finished", "Mode", "Note", "Options", "Planned", "finetune"]
