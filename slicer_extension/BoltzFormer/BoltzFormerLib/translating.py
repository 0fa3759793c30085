"""Our own words in the user's language, where Slicer has a dictionary for the module."""

from __future__ import annotations


def tr(text: str) -> str:
    """As it is, where nobody has translated it."""
    try:
        from slicer.i18n import translate
    except ImportError:
        return text
    return str(translate("BoltzFormer", text))
