"""`Sharded`: a student whose weights, moments and means lie in parts on several processes (FSDP2).

Each process keeps its part of everything that learns and borrows the rest while it computes: the encoders' blocks one
by one, all else for the length of a step. What it makes is what `Student` makes, up to the order of sums.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from boltzformer.engine.devices import is_out_of_memory
from boltzformer.errors import BoltzFormerError, OutOfMemory
from boltzformer.learn.finetune.sampling import Taught
from boltzformer.learn.finetune.student import Student
from boltzformer.learn.recipe import Recipe
from boltzformer.learn.train import Batch
from boltzformer.model import focal, hiera, text
from boltzformer.model.boltzformer import BoltzFormer

BLOCKS = (focal.Block, hiera.Block, text.Block)
"""Nobody reads their weights but they themselves; they hold most of a large model's numbers."""


class Lesson(nn.Module):
    """From samples to the terms of the loss in one call: weights are borrowed before it and given back after."""

    def __init__(self, model: BoltzFormer, terms: Callable[[Taught], dict[str, Tensor]]) -> None:
        super().__init__()
        self.model, self._terms = model, terms

    def forward(self, part: Taught) -> dict[str, Tensor]:
        """With a gradient for every weight, nought where this part says nothing: all processes send the same."""
        losses = self._terms(part)
        borrowed = [one for one in self.model.parameters() if one.requires_grad and not isinstance(one, DTensor)]
        nothing = torch.stack([one.flatten()[0] for one in borrowed]).sum() * 0
        return {**losses, "total": losses["total"] + nothing}


class Sharded(Student):
    """One of several processes that hold a model together."""

    patient = False
    """The others wait for this one in the middle of a step, so it can't try again."""

    def __init__(self, model: BoltzFormer, recipe: Recipe, *, micro: int = 0, world: int, leads: bool) -> None:
        self.leads = leads
        self._whole: dict[str, dict[str, Tensor]] = {}
        """On the CPU of the first process: what was gathered."""
        self._plain = copy.deepcopy(model).cpu() if leads else None
        self._lesson = shared(model, Lesson(model, super()._terms), world)
        super().__init__(model, recipe, micro=micro, world=world)

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step."""
        try:
            return super().learn(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                "The memory was full in the middle of a step that several processes share: give a smaller "
                "--micro-batch, or more processes."
            ) from error

    def gather(self) -> None:
        """All of it, on the first process."""
        parts: dict[str, Mapping[str, Tensor]] = {**self.state(), "start": self.start}
        whole = {part: {name: _whole(one) for name, one in tensors.items()} for part, tensors in parts.items()}
        self._whole = whole if self.leads else {}

    def alone(self) -> Student:
        """On the first process, of what was gathered last: the model on the device, all else on the CPU."""
        assert self._plain is not None
        made = Student(self._plain.cpu(), self.recipe, micro=self.micro)
        made.start = self._whole["start"]
        made.restore(self.step, self._whole)
        self._plain.to(self.device)
        return made

    def restore(self, step: int, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Goes back to a saved state: takes its part of each tensor."""
        mine = {part: {name: self._mine(name, one) for name, one in some.items()} for part, some in state.items()}
        super().restore(step, mine)

    def _mine(self, name: str, tensor: Tensor) -> Tensor:
        like = self.weights[name]
        assert isinstance(like, DTensor)
        return distribute_tensor(tensor.to(self.device), like.device_mesh, like.placements, src_data_rank=None)

    def _terms(self, part: Taught) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self._lesson(part)
        return losses

    def _shared(self, told: Mapping[str, float]) -> dict[str, float]:
        """Gradients were summed on the way back; what no part of the batch asked for has none."""
        for parameter in self.weights.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return self._summed(told)

    def _clip(self) -> Tensor:
        norm = super()._clip()
        return norm.full_tensor() if isinstance(norm, DTensor) else norm


def shared(model: BoltzFormer, lesson: Lesson, world: int) -> Lesson:
    """Each process keeps its part of every weight that learns; what is frozen stays whole."""
    single = [name for name, one in model.named_parameters() if one.requires_grad and not one.ndim]
    if single:
        raise BoltzFormerError(
            f"This model learns single numbers ({single[0]}), which can't be shared out: leave --shard-model away."
        )
    mesh = init_device_mesh(next(model.parameters()).device.type, (world,))
    frozen = {one for one in model.parameters() if not one.requires_grad}
    blocks = [one for one in model.modules() if isinstance(one, BLOCKS)]
    for module in (*blocks, lesson):
        fully_shard(module, mesh=mesh, ignored_params=frozen)
        assert isinstance(module, FSDPModule)
        # Losses are shares of the whole batch's, so gradients are summed; gloo knows no other way than plain sums.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    return lesson


def _whole(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()
