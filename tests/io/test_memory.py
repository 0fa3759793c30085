"""A large NIfTI file is read into one array, not into several."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_formats import nifti_bytes

PROGRAM = """
import re, sys
from boltzformer import io
def peak():  # not ru_maxrss: that one also remembers the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
before = peak()
array = io.read(sys.argv[1]).array
assert array.shape == (600, 512, 512), array.shape
print((peak() - before) / array.nbytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("scaled", [False, True])
def test_reading_600_slices_takes_less_than_two_and_a_half_arrays(tmp_path: Path, extension, scaled) -> None:
    header = np.frombuffer(bytes(nifti_bytes()[:352]), np.uint8).copy()
    header[40:56] = np.array([3, 512, 512, 600, 1, 1, 1, 1], "<i2").view(np.uint8)
    if scaled:
        header[112:120] = np.array([1, -1024], "<f4").view(np.uint8)
    page = np.random.default_rng(0).integers(0, 2000, (512, 512)).astype("<i2").tobytes()
    path = tmp_path / f"large{extension}"
    with gzip.open(path, "wb", 1) if extension == ".nii.gz" else path.open("wb") as file:
        file.write(header.tobytes())
        for k in range(600):
            file.write(page if k % 20 == 0 else bytes(len(page)))
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2.5
