"""Where a program that asks through us may read and write: below the folders that a person named, links resolved."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boltzformer.errors import BoltzFormerError

_HEADERS = (".mhd", ".nhdr")
"""Of images whose voxels lie in another file, beside it or below."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


@dataclass(frozen=True)
class Allowed:
    """Images come from `readable`, results go to `results` and may be read there."""

    readable: tuple[Path, ...]
    results: Path

    @staticmethod
    def of(readable: list[Path], results: Path) -> Allowed:
        """Folders that exist, by their real places; the one for results is made."""
        for folder in readable:
            if not folder.is_dir():
                raise BoltzFormerError(f"{folder} is no folder: name folders with images.")
        try:
            results.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BoltzFormerError(f"{results} can't be made ({error.strerror}): choose another folder.") from error
        return Allowed(tuple(folder.resolve() for folder in readable), results.resolve())

    def image(self, name: str) -> Path:
        """The real place of an image file, or of a folder with one: absolute, or relative to a readable folder.

        A header may name a file beside it, and a DICOM file is read with its neighbours: so no link there leads out.
        """
        found = self._found(name, (*self.readable, self.results))
        for link in _links(found) if found.is_dir() else _links(found.parent, deep=found.suffix.lower() in _HEADERS):
            if not self._inside(_real(link, name), (*self.readable, self.results)):
                raise BoltzFormerError(f"{name} has a link beside it that leads out of the folders to read: remove it.")
        return found

    def case(self, name: str) -> Path:
        """The folder of a result, which an earlier call made."""
        found = self._found(checked_name(name), (self.results,))
        if not found.is_dir() or any(not self._inside(_real(link, name), (self.results,)) for link in _links(found)):
            raise BoltzFormerError(f"{name} is no result: give the name of a case that was segmented.")
        return found

    def _found(self, name: str, roots: tuple[Path, ...]) -> Path:
        if "\0" in name or not name.strip():
            raise BoltzFormerError("This is no path: give that of an image.")
        given = Path(name)
        for candidate in [given] if given.is_absolute() else [root / given for root in roots]:
            place = _real(candidate, name)
            if self._inside(place, roots) and place.exists():
                return place
        # The same sentence whether something is there or not: what lies elsewhere is nobody's business.
        raise BoltzFormerError(f"There is no {name} below the folders to read: {', '.join(map(str, roots))}.")

    @staticmethod
    def _inside(place: Path, roots: tuple[Path, ...]) -> bool:
        return any(place == root or place.is_relative_to(root) for root in roots)


def checked_name(name: str) -> str:
    """One step of a path, which leads nowhere else."""
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise BoltzFormerError(f"{name!a} can't name a case: use letters, digits, dots, dashes and spaces.")
    return name


def _real(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, names that no system takes
        raise BoltzFormerError(f"{name} is a path that can't be followed: give that of an image.") from error


def _links(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """Every link directly inside a folder, or further down; those to folders are not followed."""
    for where, folders, files in os.walk(folder):
        yield from (path for path in (Path(where, name) for name in (*folders, *files)) if path.is_symlink())
        if not deep:
            return
