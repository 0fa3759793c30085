"""Installs this folder of wheels and models on a machine without a network: `python3 install.py [ENVIRONMENT]`.

Written by `boltzformer bundle`; needs nothing but Python. Every file is held against SHA256SUMS first.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

SUMS, ABOUT, PINS = "SHA256SUMS", "bundle.json", "requirements.txt"


def main(here: Path, target: Path) -> int:
    """The exit code; what is wrong is one sentence."""
    try:
        about = json.loads((here / ABOUT).read_text("utf-8"))
        _demand_same_kind(about)
        _demand_whole(here)
        if target.exists() and any(target.iterdir()):
            raise SystemExit(f"{target} is not empty: name another folder for the environment.")
    except OSError as error:
        raise SystemExit(f"{here} is no whole bundle ({error}): copy it again.") from error
    _say(f"Installing napari-boltzformer {about['version']} into {target} …")
    _run([sys.executable, "-m", "venv", str(target)])
    binaries = target / ("Scripts" if os.name == "nt" else "bin")
    wheels = ["--no-index", "--find-links", str(here / "wheels"), "--require-hashes", "-r", str(here / PINS)]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    # pip's own settings may name places that this machine does not reach.
    alone = {**{name: value for name, value in os.environ.items() if name[:4] != "PIP_"}, "PIP_CONFIG_FILE": os.devnull}
    _run([str(binaries / "python"), "-m", "pip", "install", *quiet, *wheels], alone)
    for name in about["models"]:
        model = str(here / "models" / f"{name}.safetensors")
        command = [str(binaries / "python"), "-m", "boltzformer", "models", "import", model, "--name", name]
        _run([*command, "--overwrite"])
    _say(f"Done. Research only, not for clinical use. Now: {binaries / 'boltzformer'} --help")
    return 0


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Its own words are on screen; the last one is ours."""
    if subprocess.run(command, env=environment, check=False).returncode:
        raise SystemExit(f"This step failed, see above: {' '.join(command)}")


def _demand_same_kind(about: dict[str, str]) -> None:
    """Wheels are made for one kind of machine and one Python."""
    python, kind = f"{sys.version_info[0]}.{sys.version_info[1]}", sysconfig.get_platform()
    if (python, kind) != (about["python"], about["platform"]):
        raise SystemExit(
            f"This bundle is for Python {about['python']} on {about['platform']}, and this is {python} on {kind}: "
            "make one with `boltzformer bundle` on a machine like this one."
        )


def _demand_whole(here: Path) -> None:
    """All files that the list names, each as it was; and no other wheel or model."""
    lines = (here / SUMS).read_text("utf-8").splitlines()
    told = {name: text for text, _, name in (line.partition("  ") for line in lines)}
    there = {file.relative_to(here).as_posix() for name in ("wheels", "models") for file in (here / name).rglob("*")}
    if foreign := sorted(there - set(told)):
        raise SystemExit(f"{foreign[0]} is not in {SUMS}: it does not belong to this bundle.")
    for name, text in told.items():
        if not (here / name).is_file():
            raise SystemExit(f"{name} is missing: copy the bundle again.")
        if _sha256(here / name) != text:
            raise SystemExit(f"{name} is not what it was when the bundle was made: copy it again.")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent
    sys.exit(main(folder, Path(sys.argv[1] if len(sys.argv) > 1 else folder / "environment")))
