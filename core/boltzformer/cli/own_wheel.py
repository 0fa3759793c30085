"""Our wheel made again from what is installed here, for who installed it from a folder and not from an index."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from boltzformer.errors import BoltzFormerError

OF_THE_INSTALLER = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}
"""What pip wrote beside; it writes them anew where the wheel is installed."""
DAY = (1980, 1, 1, 0, 0, 0)
"""Of every file: the same installation gives the same wheel."""


def came_from_elsewhere(installed: Distribution) -> bool:
    """Whether it was named to pip by its place, so that an index may not know this version."""
    return installed.read_text("direct_url.json") is not None


def packed(installed: Distribution, folder: Path) -> Path:
    """The wheel, with every file held against what was installed."""
    name = installed.name.replace("-", "_")
    target = folder / f"{name}-{installed.version}-{_tag(installed)}.whl"
    about = f"{name}-{installed.version}.dist-info"
    rows = io.StringIO()
    record = csv.writer(rows, lineterminator="\n")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as wheel:
        # not `installed.files`, which keeps quiet about those that are gone
        for file, told, *_ in sorted(csv.reader((installed.read_text("RECORD") or "").splitlines())):
            if _is_ours(PurePosixPath(file), about):
                content = _as_installed(Path(str(installed.locate_file(file))), told)
                wheel.writestr(zipfile.ZipInfo(file, DAY), content, zipfile.ZIP_DEFLATED)
                record.writerow((file, _digest(content), len(content)))
        record.writerow((f"{about}/RECORD", "", ""))
        wheel.writestr(zipfile.ZipInfo(f"{about}/RECORD", DAY), rows.getvalue(), zipfile.ZIP_DEFLATED)
    return target


def _is_ours(file: PurePosixPath, about: str) -> bool:
    """Neither a program that pip made for this environment nor a trace of running."""
    of_pip = file.parts[0] == about and file.name in OF_THE_INSTALLER
    return not file.is_absolute() and not {"..", "__pycache__"} & set(file.parts) and not of_pip


def _as_installed(file: Path, told: str) -> bytes:
    content = file.read_bytes() if file.is_file() else None
    if content is None or _digest(content) != told:
        raise BoltzFormerError(
            f"{file} is not what was installed, so that no wheel can be made of it: install again, or name a wheel "
            "with --wheel."
        )
    return content


def _digest(content: bytes) -> str:
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(content).digest()).decode("ascii").rstrip("=")


def _tag(installed: Distribution) -> str:
    told = (line.partition(": ") for line in (installed.read_text("WHEEL") or "").splitlines())
    return next(value for key, _, value in told if key == "Tag")
