"""A Python that has numpy and httpx alone can hold a `Session`: what a viewer with a Python of its own needs."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from serving import MODEL

import boltzformer
from boltzformer.io.phantom import BRIGHT

BASE = ("numpy", "httpx", "httpcore", "h11", "anyio", "idna", "certifi", "typing_extensions", "sniffio")
CLIENT = f"""
import importlib.util, sys
missing = [name for name in ("torch", "fastapi", "scipy", "SimpleITK") if importlib.util.find_spec(name) is None]
assert len(missing) == 4, missing
from boltzformer import Session
from boltzformer.io.phantom import phantom
volume = phantom(7, (16, 72, 80)).volume
with Session.local("{MODEL}", python=sys.argv[1]) as session:
    prediction = session.segment(volume, "{BRIGHT}", slices=[7, 8]).result()
    print(prediction.labels().layers.sum(), len(session.trace(volume, "{BRIGHT}", 8).layers))
"""


@pytest.mark.slow
def test_numpy_and_httpx_are_enough_for_a_client(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    packages = next(bare.rglob("site-packages"))
    for name in BASE:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # needed by some versions only
        for top in {file.parts[0] for file in files if not file.parts[0].startswith((".", "__"))}:
            place = Path(str(importlib.metadata.distribution(name).locate_file(top)))
            (packages / top).symlink_to(place)
    (packages / "boltzformer").symlink_to(Path(boltzformer.__file__).parent)
    # The engine's Python is this one, with a package folder that it may need to be told.
    engine = tmp_path / "engine"
    core = Path(boltzformer.__file__).parents[1]
    engine.write_text(f'#!/bin/sh\nPYTHONPATH="{core}" exec "{sys.executable}" "$@"\n')
    engine.chmod(0o700)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [str(bare / "bin/python"), "-c", CLIENT, str(engine)], capture_output=True, text=True, env=environment
    )
    assert said.returncode == 0, said.stderr
    voxels, looks = map(int, said.stdout.split())
    assert voxels > 0
    assert looks == 9
