"""Which files are results and no images: what runs and exports have told of them, in the provenance beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boltzformer.io.kinds import split_name
from boltzformer.json_text import loads, text_of

STORY = ".provenance.json"
FILES = "mask files"
"""By file name: the name of each label in it."""
MAPS = "probability maps"
NUMBERS = "object numbers"
"""Pictures with one label per object."""
EARLIER = "earlier exports"
"""Stories of files of the same stem that are still there, e.g. in another format."""
_RUN = "files"
"""All that a run wrote."""


def is_of_one_case(folder: Path) -> bool:
    """Whether a run made it for the results of one image: nothing but them belongs there."""
    story = folder / f"{folder.name}{STORY}"
    return story.is_file() and FILES not in _told(story)


def results_in(folder: Path) -> set[str]:
    """The names of the files that stories beside them tell of; one that names none speaks of all with its stem."""
    found: set[str] = set()
    for story in folder.glob(f"*{STORY}"):
        told = _told(story)
        if FILES in told or _RUN in told:
            found |= _named(told)
        else:
            stem = story.name.removesuffix(STORY)
            found |= {path.name for path in folder.iterdir() if split_name(path)[0] == stem}
    return found


def _named(told: Mapping[str, Any]) -> set[str]:
    names = {str(name) for key in (FILES, MAPS, NUMBERS, _RUN) for name in _listed(told.get(key))}
    return names.union(*(_named(one) for one in _listed(told.get(EARLIER)) if isinstance(one, dict)))


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | dict) else []


def _told(story: Path) -> dict[str, Any]:
    try:
        told = loads(text_of(story))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
