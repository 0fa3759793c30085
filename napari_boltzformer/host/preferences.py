"""What the engine may use, as napari's own *Preferences* show and keep it: the three that the dock has under *More*.

What the dock changes is told there, and the other way round. Before napari 0.9 there is only the dock.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from boltzformer.desk.settings import Settings

PLUGIN, PART = "napari-boltzformer", "engine"
NAMES = ("device", "threads", "cache_gb")
"""Called alike in the manifest and in the desk's settings."""


def store() -> Any | None:
    """Where napari keeps them; None where it keeps none."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):  # an older napari; or our plugin is switched off in it
        return None


def remembered() -> Settings:
    """The desk's settings, with what was said in the preferences while no dock was there to hear it."""
    settings = Settings.load()
    for name, value in met(settings).items():
        setattr(settings, name, value)
    return settings


def met(settings: Settings) -> dict[str, Any]:
    """What was said in the preferences; nothing where the desk remembers from before napari did, which tells them.

    Its first call takes napari a moment: it looks through all plugins.
    """
    kept = store()
    if kept is not None and kept.config_path is not None and Path(kept.config_path).is_file():
        return said()
    tell(settings)
    return {}


def tell(settings: Settings) -> None:
    """The dock's choice, for the preferences to show."""
    kept = store()
    for name in NAMES if kept is not None else ():
        part = getattr(kept, PART)
        if getattr(part, name) != getattr(settings, name):
            setattr(part, name, getattr(settings, name))


def said() -> dict[str, Any]:
    """What the preferences say now."""
    kept = store()
    return {} if kept is None else {name: getattr(getattr(kept, PART), name) for name in NAMES}


def listen(heard: Callable[..., None]) -> None:
    """`heard`, a method of somebody, is called after a change, as long as that one lives."""
    kept = store()
    for name in NAMES if kept is not None else ():
        getattr(getattr(kept, PART).events, name).connect(heard)
