"""Names that tell nothing: cases and patients as salted hashes. The salt never leaves the folder's `private/`."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from pathlib import Path

from boltzformer.atomic import private_folder
from boltzformer.dataset.disk import unwritten
from boltzformer.errors import DatasetError

PRIVATE = "private"
"""Leave this folder out when you pass a dataset on."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows has no files of these names


def make_salt(root: Path) -> None:
    """Once, when the folder is made; readable by its owner only."""
    place = root / PRIVATE / "salt"
    try:
        private_folder(place.parent)
        with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritten(place, error) from error


def read_salt(root: Path) -> bytes:
    """Needed to add: without it a patient who is here already would get a second name, and perhaps another split."""
    place = root / PRIVATE / "salt"
    try:
        salt = bytes.fromhex(place.read_text("ascii").strip())
    except (OSError, ValueError):
        salt = b""
    if len(salt) != 32:
        raise DatasetError(
            f"{place} is missing or damaged, so nothing can be added without risking that a patient gets two names: "
            "restore it from where this folder came from; reading goes on without it."
        )
    return salt


def case_name(salt: bytes, image_sha256: str) -> str:
    """The default case id: the same image is the same case."""
    return f"case-{_hashed(salt, 'image', image_sha256)}"


def image_name(salt: bytes, image_sha256: str) -> str:
    """By which the split knows an image again; says nothing about its case, which may be removed."""
    return _hashed(salt, "seen", image_sha256)


def group_name(salt: bytes, patient: str) -> str:
    """Who must not be torn apart by a split. Spaces and capitals of a patient's number don't matter."""
    return f"group-{_hashed(salt, 'patient', unicodedata.normalize('NFKC', patient).strip().casefold())}"


def demand_name(case: str) -> str:
    """A case id that a user chose, if it can be a folder's name on every system."""
    if not _NAME.fullmatch(case) or _RESERVED.fullmatch(case) or case.endswith("."):
        raise DatasetError(
            f"The case id '{case}' can't be a folder's name everywhere: use up to 64 letters, digits, '-', '_' and "
            "'.', and no patient's name or number."
        )
    return case


def _hashed(salt: bytes, kind: str, what: str) -> str:
    return hmac.new(salt, f"{kind}\0{what}".encode(), hashlib.sha256).hexdigest()[:16]
