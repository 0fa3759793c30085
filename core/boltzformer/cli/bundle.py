"""One folder with all that a machine without a network needs: wheels, models, checksums and an installer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from tempfile import TemporaryDirectory

from boltzformer.cli import bundle_install, own_wheel
from boltzformer.cli.bundle_install import ABOUT, PINS, SUMS
from boltzformer.errors import BoltzFormerError
from boltzformer.image.hashing import sha256_of
from boltzformer.version import VERSION
from boltzformer.weights import checkpoint, registry
from boltzformer.weights.hub import UNSTATED, card_of

NAME = "napari-boltzformer"
INSTALLER = "install.py"


@dataclass(frozen=True)
class Packed:
    """A bundle that is whole."""

    folder: Path
    wheels: int
    models: tuple[str, ...]
    size: int
    """Bytes of all its files."""
    sums_sha256: str
    """Of the list of checksums: whoever knows it knows that no file was changed."""


def bundle(
    target: Path, *, extras: Sequence[str] = ("engine",), models: Sequence[str] = (), wheel: Path | None = None
) -> Iterator[str | Packed]:
    """What is done, in words; last what was made. Nothing of the name is there before it is whole."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BoltzFormerError(f"{target} is there already: choose another name for the bundle.")
    brought = {name: registry.resolve(name) for name in models if name != "default"}  # which lies in our wheel
    stories = {name: checkpoint.read(file) for name, file in brought.items()}
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name in ("wheels", "models"):
            (part / name).mkdir(parents=True)
        yield from _wheels(part / "wheels", extras, wheel)
        for name, file in brought.items():
            yield f"model '{name}', licence: {stories[name].history.licence or UNSTATED}"
            copied = Path(shutil.copyfile(file, part / "models" / f"{name}.safetensors"))
            if card_of(file).is_file():
                shutil.copyfile(card_of(file), card_of(copied))
        about: dict[str, object] = {
            "version": VERSION,
            "extras": list(extras),
            "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "platform": sysconfig.get_platform(),
            "models": sorted(brought),
        }
        (part / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (part / PINS).write_text(_pins(part / "wheels"), encoding="utf-8")
        (part / "README.txt").write_text(_words(about), encoding="utf-8")
        shutil.copyfile(str(bundle_install.__file__), part / INSTALLER)
        (part / SUMS).write_text(_sums(part), encoding="utf-8")
        if target.exists():
            target.rmdir()
        os.replace(part, target)
    except OSError as error:
        raise BoltzFormerError(
            f"{target} can't be written ({error.strerror or error}): choose a folder with space left."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    files = [file for file in target.rglob("*") if file.is_file()]
    count, size = len(list((target / "wheels").iterdir())), sum(file.stat().st_size for file in files)
    yield Packed(target, count, tuple(sorted(brought)), size, sha256_of(target / SUMS))


def _wheels(folder: Path, extras: Sequence[str], wheel: Path | None) -> Iterator[str]:
    """Ours, and all that it needs, in the versions that are installed here where they are."""
    if wheel is not None:
        shutil.copy(wheel, folder)
    elif (source := _checkout()) is not None:
        yield f"building our wheel from {source}"
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    elif (here := _installed_from_elsewhere()) is not None:
        yield f"packing our wheel from what is installed in {here.locate_file('')}"
        own_wheel.packed(here, folder)
    own = next(iter(folder.glob("*.whl")), None)
    wanted = f"{own}[{','.join(extras)}]" if own else f"{NAME}[{','.join(extras)}]=={VERSION}"
    with TemporaryDirectory() as place:
        known = Path(place) / "constraints.txt"
        known.write_text("".join(_installed()), encoding="utf-8")
        yield f"fetching the wheels of {NAME}[{','.join(extras)}]"
        _pip("download", "--only-binary", ":all:", "--dest", str(folder), "--constraint", str(known), wanted)
    if foreign := [file.name for file in folder.iterdir() if file.suffix != ".whl"]:
        raise BoltzFormerError(f"{foreign[0]} is no wheel, which can't be installed without a network.")


def _checkout() -> Path | None:
    """The source code that runs here, if it is that."""
    root = Path(__file__).parents[3]
    told = root / "pyproject.toml"
    return root if told.is_file() and f'name = "{NAME}"' in told.read_text("utf-8") else None


def _installed_from_elsewhere() -> Distribution | None:
    """We ourselves, if pip got us from a file or a folder: no index has to know what runs here."""
    try:
        here = distribution(NAME)
    except PackageNotFoundError:
        return None
    return here if own_wheel.came_from_elsewhere(here) else None


def _installed() -> Iterator[str]:
    seen = {NAME, "pip", "setuptools", "wheel"}  # tools of an environment's own age say nothing
    for one in distributions():
        name = (one.name or "").lower().replace("_", "-")
        if name and one.version and name not in seen:
            yield f"{one.name}=={one.version}\n"
        seen.add(name)  # what stands further back on the path is never imported


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments[:1], "--quiet", "--disable-pip-version-check", *arguments[1:]]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no word from pip")
        raise BoltzFormerError(f"The wheels can't be fetched ({why}): check the network and pip's settings.")


def _pins(wheels: Path) -> str:
    """Every wheel by version and hash, so that pip takes these and nothing else."""
    rows = []
    for file in sorted(wheels.glob("*.whl")):
        name, version = file.name.split("-")[:2]
        rows.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{sha256_of(file)}\n")
    return "".join(rows)


def _sums(folder: Path) -> str:
    """As `sha256sum -c` reads it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != SUMS)
    return "".join(f"{sha256_of(file)}  {file.relative_to(folder).as_posix()}\n" for file in files)


def _words(about: dict[str, object]) -> str:
    return (
        f"{NAME} {about['version']}, for Python {about['python']} on {about['platform']}, without a network.\n"
        "Research only, not for clinical use.\n\n"
        f"Install:  python3 {INSTALLER} ENVIRONMENT\n"
        f"Check:    sha256sum -c {SUMS}   (the installer does it, too)\n"
        'Use:      ENVIRONMENT/bin/boltzformer segment scan.nii.gz -p "spleen in abdominal CT" -o masks\n'
    )
