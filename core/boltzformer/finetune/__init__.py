"""Fine-tuning: from corrected slices to a better model, without losing work, patients or the old skill."""

from boltzformer.finetune.modes import MODES, Mode
from boltzformer.finetune.options import Options
from boltzformer.finetune.teach import Checked, Event, Finished, Note, Planned, finetune

__all__ = ["MODES", "Checked", "Event", "Finished", "Mode", "Note", "Options", "Planned", "finetune"]
