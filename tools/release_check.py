"""Is this ready to be released? `make release-check`: builds, compares, installs and lists; the lists lie in `dist/`.

Needs a network for the installations. Every check says what it found; the exit code is the number of failed ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PACKAGES = ("core/boltzformer/", "napari_boltzformer/")
EXTRAS = ("", "io", "engine", "mcp", "cluster", "train", "napari", "all+mcp+cluster")
"""Each is installed alone; of the last, which holds all that a user can install, licences and materials are listed."""
WITH_ENGINE = {"engine", "mcp", "cluster", "train", "all"}
WITH_VIEWER = {"napari", "all"}
HEAVY = ("torch", "nvidia", "triton")
QT = ("pyqt", "pyside", "qtpy")
KNOWN_COPYLEFT = {
    "PyQt6": "GPL-3.0: the viewer's side alone; PySide6 does as well",
    "PyQt6-Qt6": "LGPL-3.0, with PyQt6",
    "docutils": "with the release's own tools alone; public domain and BSD, but for a file of an editor",
    "PyQt6_sip": "BSD-2-Clause, with PyQt6",
}
"""Looked at, and why they are no obstacle: nothing of ours is linked with them that can't be without."""
Found = tuple[bool, str]


def versions() -> Found:
    """One version, wherever it is said."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    code = re.search(r'^VERSION = "(.+)"$', (ROOT / "core/boltzformer/version.py").read_text("utf-8"), re.M)
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    said = {"pyproject.toml": project, "version.py": code and code[1], "CITATION.cff": citation and citation[1]}
    changelog = f"## [{project}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
    words = ", ".join(f"{where} {what}" for where, what in said.items())
    return len(set(said.values())) == 1 and changelog, f"{words}, in the changelog: {changelog}"


def built() -> Found:
    """Wheel and source distribution, anew."""
    for old in DIST.glob("*.whl"), DIST.glob("*.tar.gz"):
        for file in old:
            file.unlink()
    said = _run(sys.executable, "-m", "build", "--outdir", str(DIST), str(ROOT))
    sizes = [f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in _artefacts()]
    return said.returncode == 0 and len(sizes) == 2, ", ".join(sizes) or said.stderr[-500:]


def contents() -> Found:
    """The wheel holds the tracked files of both packages and no others; the source distribution all of these, too."""
    wheel, source = _artefacts()
    in_wheel = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    with tarfile.open(source) as archive:
        in_source = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    tracked = _run("git", "-C", str(ROOT), "ls-files", *PACKAGES).stdout.splitlines()
    wrong = differences(in_wheel, in_source, tracked)
    rooms = Counter(name.removeprefix("core/").split("/")[0] for name in in_source)
    listed = "\n".join(["# wheel", *sorted(in_wheel), "", "# source distribution", *sorted(in_source)])
    (DIST / "contents.txt").write_text(listed + "\n", encoding="utf-8")
    words = ", ".join(f"{name} {count}" for name, count in sorted(rooms.items()))
    return not wrong, "; ".join(wrong[:5]) or f"{len(in_wheel)} files in the wheel; in the source: {words}"


def differences(in_wheel: Iterable[str], in_source: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """What is in one and should be in another, in words."""
    wheel, source = set(in_wheel), set(in_source)
    wanted = {name.removeprefix("core/"): name for name in tracked}
    rows = [f"not in the wheel: {name}" for name in sorted(set(wanted) - wheel)]
    rows += [f"not tracked, but in the wheel: {name}" for name in sorted(wheel - set(wanted))]
    return rows + [f"not in the source distribution: {name}" for name in sorted(set(wanted.values()) - source)]


def description() -> Found:
    """The long description is what an index can show."""
    said = _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, _artefacts()))
    return said.returncode == 0, f"{said.stdout.count('PASSED')} of 2 descriptions render"


def public_names(reference: str) -> Found:
    """What changed for who imports us, since the last version. A list, to be read: 0.x may break."""
    against = reference or _run("git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0").stdout.strip()
    if not against:
        return True, "there is no tag to compare with yet: name a commit with --since"
    command = ["-m", "griffe", "check", "boltzformer", "--search", str(ROOT / "core"), "--against", against]
    said = subprocess.run([sys.executable, *command], capture_output=True, encoding="utf-8", cwd=ROOT, check=False)
    rows = [line for line in (said.stdout + said.stderr).splitlines() if line.strip()]
    (DIST / "api-changes.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return "Traceback" not in said.stderr, f"{len(rows)} changes since {against} that may break code"


def installed(extra: str, keep: Path | None = None) -> Found:
    """In a clean environment: it installs, starts, and says its version; how large that is."""
    with tempfile.TemporaryDirectory() as folder:
        place = keep or Path(folder)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        before, python = _size(place), _python(place)
        wheel = f"{_artefacts()[0]}[{extra.replace('+', ',')}]" if extra else str(_artefacts()[0])
        said = _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
        if said.returncode:
            return False, said.stderr.strip()[-300:]
        code = "import boltzformer; print(boltzformer.__version__, boltzformer.Session.local.__name__)"
        said = _run(str(python), "-c", code)
        program = _run(str(python), "-m", "boltzformer", "--version")
        # Without the engine the program says so, in one sentence and with exit code 2.
        starts = program.returncode == (0 if WITH_ENGINE & set(extra.split("+")) else 2)
        listed = json.loads(_run(str(python), "-m", "pip", "list", "--format", "json").stdout)
        wrong = unwanted(extra, [package["name"] for package in listed])
        size = (_size(place) - before) / 1e6
        words = f"{len(listed)} packages, {size:.0f} MB: {said.stdout.strip()}"
        words += f"; came along unasked: {', '.join(wrong)}" if wrong else ""
        return said.returncode == 0 and starts and not wrong, words


def unwanted(extra: str, packages: Iterable[str]) -> list[str]:
    """A viewer's side brings no torch, and nothing but the viewer's brings Qt."""
    asked = set(extra.split("+"))
    refused = (*(() if asked & WITH_ENGINE else HEAVY), *(() if asked & WITH_VIEWER else QT))
    return [name for name in packages if name.lower().startswith(refused)]


def licences(place: Path) -> Found:
    """Every package has a licence, and copyleft ones are known and explained."""
    command = ["--python", str(_python(place)), "--format", "json", "--with-urls"]
    rows = json.loads(_run(sys.executable, "-m", "piplicenses", *command).stdout)
    (DIST / "licences.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    nameless = [row["Name"] for row in rows if row["License"] in ("", "UNKNOWN")]
    # Lesser and file-wise copyleft (LGPL, MPL) leaves our own code alone.
    strict = [row["Name"] for row in rows if re.search(r"(?<!L)GPL|GNU General|AGPL", row["License"])]
    strict = [name for name in strict if name not in KNOWN_COPYLEFT]
    words = f"{len(rows)} packages; without a stated licence: {', '.join(nameless) or 'none'}"
    return not strict, f"{words}; copyleft that nobody looked at: {', '.join(strict) or 'none'}"


def bill_of_materials(place: Path) -> Found:
    """CycloneDX, of the environment with everything."""
    target = DIST / "sbom.cdx.json"
    command = ["-m", "cyclonedx_py", "environment", "--output-format", "JSON", "-o", str(target), str(_python(place))]
    said = _run(sys.executable, *command)
    if said.returncode:
        return False, said.stderr[-300:]
    made = json.loads(target.read_text("utf-8"))
    return made["bomFormat"] == "CycloneDX", f"{len(made['components'])} components in {target.name}"


def main() -> int:
    """The number of failed checks."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--since", default="", help="tag or commit to compare public names with; else the last tag")
    asked.add_argument(
        "--extras", default=",".join(EXTRAS), help="which to install, with commas; 'base' for none, '+' for together"
    )
    options = asked.parse_args()
    DIST.mkdir(exist_ok=True)
    failed = sum(not _said(check) for check in (versions, built, contents, description))
    failed += not _said(lambda: public_names(options.since), "public names")
    chosen = ["" if name == "base" else name for name in options.extras.split(",")]
    print("Each extra is installed in a venv of its own now: minutes, with nothing printed meanwhile.", flush=True)
    for extra in chosen[:-1]:
        failed += not _said(lambda extra=extra: installed(extra), f"installed [{extra}]")
    with tempfile.TemporaryDirectory() as folder:  # the last one is looked at more closely
        place = Path(folder) / "environment"
        failed += not _said(lambda: installed(chosen[-1], place), f"installed [{chosen[-1]}]")
        failed += not _said(lambda: licences(place), "licences")
        failed += not _said(lambda: bill_of_materials(place), "bill of materials")
    print(f"{failed} {'check' if failed == 1 else 'checks'} failed." if failed else "All checks passed.")
    return failed


def _said(check: Callable[[], Found], name: str = "") -> bool:
    try:
        passed, words = check()
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        passed, words = False, f"{type(error).__name__}: {error}"
    print(f"{'ok    ' if passed else 'FAILED'} {name or check.__name__}: {words}", flush=True)
    return passed


def _artefacts() -> tuple[Path, Path]:
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, source


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env=plain, cwd=tempfile.gettempdir(), check=False
    )


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and not file.is_symlink())


if __name__ == "__main__":
    if shutil.which("git") is None:
        sys.exit("git is needed: what is tracked is what belongs into a release.")
    sys.exit(main())
