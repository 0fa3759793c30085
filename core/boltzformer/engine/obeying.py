"""What a user's guidance does to an answer itself: it holds where the user pointed, and only there is it bent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boltzformer.image.guidance import Hint
from boltzformer.masks.objects import pieces

SURE = 1.0
"""Logit that an answer has at least (or at most, with a minus) at a point of the user: a probability of 0.73."""
NOTHING = -8.0
"""Logit of what the user took away: the lowest that travels, so no threshold brings it back."""


def obeyed(logits: NDArray[np.float32], hint: Hint) -> NDArray[np.float32]:
    """(h, w) logits, bent where the hint says so; else the very same.

    "Here" raises them by a Gaussian that makes the point sure, so the outline follows what the model half believed.
    "Not here" removes the object that the point lies in. Outside of the boxes there is nothing.
    """
    if not hint.bends:
        return logits
    bent = logits.copy()
    rows, columns = ((np.arange(n) + 0.5) * hint.bends / n for n in logits.shape)  # centres, in pixels
    for point in sorted(hint.points, key=lambda one: one.here):  # what is taken away first: "here" has the last word
        away = (rows[:, None] - point.row) ** 2 + (columns - point.column) ** 2
        bell = np.exp(away / (-2 * point.width**2)).astype(np.float32)
        row, column = np.unravel_index(away.argmin(), away.shape)
        if point.here:
            bent += max(0.0, SURE - float(bent[row, column])) * bell
        else:
            objects = pieces(bent > 0)
            if objects[row, column]:
                bent[objects == objects[row, column]] = NOTHING
            bent -= max(0.0, SURE + float(bent[row, column])) * bell
    if hint.boxes:
        inside = np.zeros(logits.shape, bool)
        for box in hint.boxes:
            inside |= (
                ((rows >= box.top) & (rows <= box.bottom))[:, None] & (columns >= box.left) & (columns <= box.right)
            )
        bent[~inside] = NOTHING
    return bent
