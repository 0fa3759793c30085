"""Annotated images in a plain folder: what is accepted is never lost, and no patient is on two sides of a split."""

from boltzformer.dataset.case import Case, Lesson
from boltzformer.dataset.check import Problem, check, repair
from boltzformer.dataset.identity import SPLITS, Split
from boltzformer.dataset.index import Entry
from boltzformer.dataset.revision import Revision
from boltzformer.dataset.store import Dataset

__all__ = ["SPLITS", "Case", "Dataset", "Entry", "Lesson", "Problem", "Revision", "Split", "check", "repair"]
