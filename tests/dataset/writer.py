"""A writer in a process of its own, for tests that end or starve it: prints each revision once `add` has returned."""

import os
import sys
from pathlib import Path
from typing import TextIO

import numpy as np
from annotated import annotate, image

from boltzformer import Volume
from boltzformer.dataset import Dataset
from boltzformer.errors import BoltzFormerError


def main(folder: str, what: str, count: int, out: TextIO = sys.stdout) -> None:
    def say(line: str) -> None:
        out.write(line + "\n")
        out.flush()

    if what.startswith("limit"):
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a full quota is an error of `write`
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(what[5:]), resource.RLIM_INFINITY))
    dataset = Dataset.at(folder)
    say("ready")
    for number in range(count):
        if what == "hold":
            from boltzformer.dataset.disk import writing

            with writing(Path(folder)):
                say("held")
                sys.stdin.read()
        # Each writer has cases of its own and one that all correct.
        seed = 0 if number % 2 else 1000 * os.getpid() + number
        volume = image(0) if seed == 0 else noise(seed)
        try:
            revision = dataset.add(annotate(volume, reviewed=(number % 6,), painted=(number % 6,)), patient=f"p{seed}")
        except BoltzFormerError as error:
            say(f"refused {error}")
        else:
            say(f"kept {revision.folder.parents[1].name} {revision.number} {number % 6}")


def noise(seed: int) -> Volume:
    """Large enough that a kill often meets a half-written image."""
    rng = np.random.default_rng(seed)
    volume = image(0, (6, 96, 96))
    return Volume(rng.integers(0, 4000, (6, 96, 96)).astype(np.int16), volume.grid, "CT")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
