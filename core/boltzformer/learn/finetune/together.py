"""Several processes under `torchrun`: each takes its part of every batch, the first one writes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Together:
    """This process among all."""

    rank: int = 0
    world: int = 1
    launch: str = ""
    """The name that this call of torchrun has; its 'none' is everybody's, and so nobody's."""
    again: bool = False
    """Whether torchrun started us anew because a process was lost."""
    here: int = 1
    """So many of them share this computer."""

    @staticmethod
    def of_environment() -> Together:
        """As torchrun tells it; alone without it."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        told = os.environ.get("TORCHELASTIC_RUN_ID", "none")
        launch = "" if told == "none" else told
        again = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
        if world == 1:
            return Together(launch=launch, again=again)
        if not distributed.is_initialized():
            gpu = torch.cuda.is_available()
            if gpu:
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
            distributed.init_process_group("nccl" if gpu else "gloo")
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return Together(distributed.get_rank(), world, launch, again, here)

    @property
    def leads(self) -> bool:
        """Whether this process writes and judges."""
        return self.rank == 0

    def wait(self) -> None:
        """For all others."""
        if self.world > 1:
            distributed.barrier()

    def same(self, value: T) -> T:
        """What the first process has."""
        if self.world == 1:
            return value
        shared = [value]
        distributed.broadcast_object_list(shared)
        return shared[0]

    def any(self, flag: bool) -> bool:
        """Whether one of them says so."""
        if self.world == 1:
            return flag
        said = torch.tensor(float(flag), device="cuda" if torch.cuda.is_available() else "cpu")
        distributed.all_reduce(said)
        return bool(said > 0)
