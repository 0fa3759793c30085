"""`Scores`: a row per case and their means, as JSON, as CSV and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

DIGITS = 4


def rounded(value: float) -> float | None:
    """As the official scripts round; None where there is no number."""
    return None if np.isnan(value) else float(np.round(value, DIGITS))


@dataclass(frozen=True)
class Case:
    """The numbers of one case; None where one does not apply."""

    name: str
    numbers: Mapping[str, float | None]
    file: str = ""
    """As the official tables call it, if otherwise."""
    seconds: float | None = None
    """That the answer took, where it was made here."""


@dataclass(frozen=True)
class Scores:
    """All cases of one yardstick."""

    columns: tuple[str, ...]
    cases: Sequence[Case]
    over_all: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    """Numbers that are no means of cases."""
    unanswered: tuple[str, ...] = ()
    """Cases without an answer: they are left out."""

    @property
    def mean(self) -> dict[str, float | None]:
        """Over the cases that have the number."""
        means: dict[str, float | None] = {}
        for column in self.columns:
            known = [value for case in self.cases if (value := case.numbers.get(column)) is not None]
            means[column] = float(np.mean(known)) if known else None
        return {**means, **self.over_all}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        timed = any(case.seconds is not None for case in self.cases)
        rows = [
            {
                "case": case.name,
                **{column: case.numbers.get(column) for column in self.columns},
                **({"seconds": case.seconds} if timed else {}),
            }
            for case in self.cases
        ]
        left = {"unanswered": list(self.unanswered)} if self.unanswered else {}
        return {"cases": rows, "mean": self.mean, **left}

    def as_csv(self) -> str:
        """With the columns of the official tables."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["CaseName", "RunningTime", *self.columns])
        for case in self.cases:
            table.writerow([case.file or case.name, case.seconds, *(case.numbers.get(one) for one in self.columns)])
        return text.getvalue()

    def as_table(self) -> str:
        """For people."""
        width = max((len(case.name) for case in self.cases), default=4)
        widths = [max(8, len(column) + 2) for column in self.columns]
        lines = [" " * width + "".join(f"{column:>{w}}" for column, w in zip(self.columns, widths, strict=True))]
        mean = self.mean
        rows = [(case.name, case.numbers) for case in self.cases]
        for name, numbers in [*rows, ("mean", {column: mean[column] for column in self.columns})]:
            shown = ("-" if (value := numbers.get(column)) is None else f"{value:.4f}" for column in self.columns)
            lines.append(f"{name:{width}}" + "".join(f"{text:>{w}}" for text, w in zip(shown, widths, strict=True)))
        lines += [f"{name}: {'-' if value is None else f'{value:.4f}'}" for name, value in self.over_all.items()]
        return "\n".join(lines)
