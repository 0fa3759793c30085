"""`Completed`: a line of the list below the prompts. Where it is too narrow, the prompt gives way: what the model
knows of it, with its number, stays whole."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

KNOWN = Qt.ItemDataRole.UserRole + 1
"""Where an item holds the end of its line: what the model knows."""
LEAST = 6
"""So many letters of a prompt are left at the least: then the end of the rest gives way, too."""


class Completed(QStyledItemDelegate):
    """Draws it."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:  # noqa: N802 - Qt's name
        super().initStyleOption(option, index)
        if option is not None and option.widget is not None:
            margin = option.widget.style().pixelMetric(QStyle.PixelMetric.PM_FocusFrameHMargin) + 1
            room = option.rect.width() - 2 * margin
            option.text = fitted(option.text, str(index.data(KNOWN) or ""), option.fontMetrics, room)


def fitted(text: str, known: str, letters: QFontMetrics, room: int) -> str:
    """Prompts often differ in their last words alone: their middle is left out."""
    if room <= 0 or letters.horizontalAdvance(text) <= room:
        return text
    left = max(room - letters.horizontalAdvance(known), LEAST * letters.averageCharWidth())
    prompt = letters.elidedText(text.removesuffix(known), Qt.TextElideMode.ElideMiddle, left)
    room -= letters.horizontalAdvance(prompt)
    return prompt + letters.elidedText(known, Qt.TextElideMode.ElideRight, max(room, 0))
