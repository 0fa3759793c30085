"""What `boltzformer segment … --cluster [ADDRESS]` says before it goes to the cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from boltzformer.cli.archive import Shard, cases_of
from boltzformer.cli.casework import demand_folder
from boltzformer.cli.request import Request
from boltzformer.cli.show import Show
from boltzformer.engine.devices import choose, use_cores
from boltzformer.errors import BoltzFormerError
from boltzformer.weights import checkpoint

OPTION = "--cluster"
_ADDRESS = re.compile(r"local|auto|ray://\S+|\[?[\w.:-]+\]?:[0-9]{1,5}")


def with_address(arguments: Sequence[str]) -> list[str]:
    """`--cluster` alone is this computer: what follows is an address only if it looks like one."""
    given = list(arguments)
    for place, word in enumerate(arguments):
        follows = "".join(arguments[place + 1 : place + 2])
        if word == "--":
            break
        if word == OPTION and not _ADDRESS.fullmatch(follows):
            given[place] = f"{OPTION}=local"
    return given


def demand_cluster(address: str) -> None:
    """Before anything is read."""
    if find_spec("ray") is None:
        raise BoltzFormerError("Ray is not installed: pip install 'napari-boltzformer[cluster]', or use --shard.")
    if not _ADDRESS.fullmatch(address):
        raise BoltzFormerError(
            f"--cluster {address} is no address: give HOST:PORT, auto, or nothing for this computer."
        )


@dataclass(frozen=True)
class OnCluster:
    """Where and how an archive is worked on."""

    address: str
    workers: int | None
    shard: Shard | None
    device: str
    precision: str
    overwrite: bool
    batch_size: int | None


def archive_on_cluster(
    request: Request, output: Path, model: Path, images: Sequence[Path], how: OnCluster, *, as_json: bool
) -> int:
    """The exit code. All that can be wrong here is said before a process is started."""
    demand_cluster(how.address)
    demand_folder(output, True)
    if how.device in ("auto", "cpu"):  # of others, the cluster's machines know
        choose(how.device, how.precision)
    use_cores()
    about = checkpoint.read(model.absolute())
    cases = cases_of(images, output, how.shard)
    from boltzformer.cli.cluster_archive import run_on_cluster  # Ray, for this command alone
    from boltzformer.cli.cluster_work import Errand

    own = (request, output, about, how.device, how.precision, torch.get_num_threads(), Path.cwd())
    errand = Errand(*own, how.overwrite, how.batch_size)
    with Show(as_json) as show:
        code = run_on_cluster(errand, cases, how.address, how.workers, show, how.shard.ending if how.shard else "")
    if show.lost:
        raise BoltzFormerError(show.lost)
    return code
