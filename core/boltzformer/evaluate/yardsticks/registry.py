"""All yardsticks, by the names that `--as` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks import biomedparse, cvpr25, cvpr25_interactive, cvpr25_text, rex
from boltzformer.evaluate.yardsticks.asking import Yardstick, biomedparse_questions, rex_has_truth, rex_questions
from boltzformer.evaluate.yardsticks.asking_cvpr25 import interactive_questions, text_questions
from boltzformer.evaluate.yardsticks.cvpr25 import labels_in, truth_of
from boltzformer.evaluate.yardsticks.scores import Case, Scores


def _in_time(scores: Scores, data: Path) -> Scores:
    """Clicks that took more than the seconds allowed for the classes of the case have 0."""
    truths = {path.stem: truth_of(path) for path in cvpr25.images_in(data)}

    def judged(case: Case) -> Case:
        truth = truths.get(case.name)
        if truth is None or case.seconds is None:
            return case
        allowed = cvpr25_interactive.SECONDS * len(cvpr25_interactive.classes(labels_in(truth, "gts")))
        late = case.seconds > allowed
        return replace(case, numbers=dict.fromkeys(case.numbers, 0.0)) if late else case

    return replace(scores, cases=[judged(case) for case in scores.cases])


YARDSTICKS: Mapping[str, Yardstick] = {
    "cvpr25-text": Yardstick(cvpr25_text.score, text_questions, cvpr25.has_truth),
    "cvpr25-interactive": Yardstick(cvpr25_interactive.score, interactive_questions, cvpr25.has_truth, _in_time),
    "rex": Yardstick(rex.score, rex_questions, rex_has_truth),
    "biomedparse": Yardstick(biomedparse.score, biomedparse_questions, lambda data: True),
}


def yardstick(name: str) -> Yardstick:
    """The one of that name."""
    if name not in YARDSTICKS:
        raise BoltzFormerError(f"There is no yardstick '{name}': choose one of {', '.join(YARDSTICKS)}.")
    return YARDSTICKS[name]
