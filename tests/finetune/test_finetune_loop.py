"""The loop of fine-tuning: its losses, its batches, its parts, and several processes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from finetune_runs import ENVIRONMENT, MINI
from torch import Tensor

from boltzformer.learn.finetune.asking import Case
from boltzformer.learn.finetune.gate import Compared, judge, threshold
from boltzformer.learn.finetune.lessons import read_lessons, read_pictures
from boltzformer.learn.finetune.options import in_rounds, prepare
from boltzformer.learn.finetune.sampling import Pool, Remembered, Taught, batch_of, swapped
from boltzformer.learn.finetune.student import Student, parts, taught_loss
from boltzformer.learn.recipe import Recipe, read_recipe
from boltzformer.learn.train import rate_at
from boltzformer.model.boltzformer import Answer
from boltzformer.model.losses import gated_loss, overlap_loss
from boltzformer.weights import checkpoint


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    made = read_recipe("finetune")
    return replace(
        made, steps=8, batch=4, side=64, replay=0.5, precision="float32", final=replace(made.final, side=64, batch=4)
    )


@pytest.fixture(scope="module")
def pool(data: Path) -> Pool:
    pictures = read_pictures(MINI)
    old = [
        Remembered(replace(p, masks={k: m * 255 for k, m in p.masks.items()}), dict.fromkeys(p.masks, 0.9), ())
        for p in pictures[:10]
    ]
    return Pool(read_lessons(data).train, old, ["fetal head"])


def student(base: Path, recipe: Recipe, mode: str = "full", *, micro: int = 0) -> Student:
    model, _ = checkpoint.load(base)
    prepare(model, mode)  # type: ignore[arg-type]
    return Student(model, recipe, micro=micro)


def batch(labels: Tensor) -> Taught:
    present = (labels > 0).float().amax((-2, -1))
    masks = (labels > 0).float()
    nobody = (("a",) * labels.shape[1],) * len(labels)
    return Taught(
        torch.zeros(len(labels), 3, 8, 8),
        nobody,
        nobody,
        masks,
        (0, 1),
        present,
        present,
        3.0 * torch.ones_like(present),
    )


def test_the_losses_are_the_published_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(2, 3, 40, 52, generator=generator) < 0.3).int()
    labels[0, 1] = 0
    logits, edges = (torch.randn(2, 3, 16, 20, generator=generator) for _ in range(2))
    existence = torch.randn(2, 3, generator=generator)
    known = gated_loss(logits, existence, edges, labels)
    mine = taught_loss(Answer(logits, existence, edges, ()), batch(labels), "gated")
    torch.testing.assert_close(mine["total"], known.total)
    known_v1 = overlap_loss(logits, (labels > 0).float())
    torch.testing.assert_close(
        taught_loss(Answer(logits, None, None, ()), batch(labels), "overlap")["total"], known_v1.total
    )


def test_accumulated_parts_make_the_same_step(base: Path, recipe: Recipe, pool: Pool) -> None:
    whole, parted = student(base, recipe), student(base, recipe, micro=1)
    for step in range(2):
        one, other = whole.learn(batch_of(pool, recipe, step)), parted.learn(batch_of(pool, recipe, step))
        assert np.isclose(one["total"], other["total"], rtol=1e-4)
        assert np.isclose(one["gradient"], other["gradient"], rtol=1e-3)


def test_half_of_a_batch_is_remembered_and_teaches_what_the_parent_believed(recipe: Recipe, pool: Pool) -> None:
    seen = batch_of(pool, recipe, 3)
    assert seen.positive[:2].eq(1).any(-1).all()
    assert seen.positive[2:].eq(3).all()
    claims = seen.claims[:2][seen.positive[:2] == 1]
    assert {round(claim, 3) for claim in claims.tolist()} <= {0.0, 0.9}
    again = batch_of(pool, recipe, 3)
    assert torch.equal(seen.images, again.images)
    assert seen.texts == again.texts


def test_processes_share_a_batch_without_overlap(recipe: Recipe, pool: Pool) -> None:
    whole = batch_of(pool, recipe, 1)
    first, second = (batch_of(pool, recipe, 1, share=(rank, 2)) for rank in (0, 1))
    assert sorted(first.places + second.places) == [0, 1, 2, 3]
    assert torch.equal(first.images, whole.images[0::2])
    assert torch.equal(second.images, whole.images[1::2])
    assert [len(part.images) for part in parts(whole, 3)] == [3, 1]


def test_the_anchor_draws_the_weights_back(base: Path, recipe: Recipe, pool: Pool) -> None:
    moved = []
    for anchor in (0.0, 2000.0):
        quick = replace(recipe.optimizer, warm_up=1)
        one = student(base, replace(recipe, anchor=anchor, optimizer=quick))
        for step in range(3):
            one.learn(batch_of(pool, one.recipe, step))
        moved.append(sum(float((one.weights[name] - one.start[name]).square().sum()) for name in one.start))
    assert moved[1] < 0.9 * moved[0]


def test_every_round_begins_at_the_parent_and_their_mean_is_kept(base: Path, recipe: Recipe, pool: Pool) -> None:
    short = replace(recipe, steps=7, round=3)
    one = student(base, short)
    means = []
    for step in range(short.steps):
        losses = one.learn(batch_of(pool, short, step))
        if step in (2, 5, 6):
            means.append({name: tensor.clone() for name, tensor in one.mean.items()})
        if step in (0, 3, 6):
            assert losses["rate"] == pytest.approx(rate_at(replace(short, round=0, steps=short.within(step)[1]), 0))
    alone = student(base, replace(short, steps=1))  # the last round is one step, of the parent
    alone.step = 6
    alone.recipe = short
    alone.learn(batch_of(pool, short, 6))
    for name, tensor in one.kept.items():
        torch.testing.assert_close(tensor, sum(mean[name] for mean in means) / 3)
        torch.testing.assert_close(alone.mean[name], means[2][name])


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_run_of_several_rounds_goes_on_to_the_same_weights(base: Path, recipe: Recipe, pool: Pool, at: int) -> None:
    short = replace(recipe, steps=7, round=3)
    whole, first, rest = (student(base, short) for _ in range(3))
    for step in range(short.steps):
        whole.learn(batch_of(pool, short, step))
    for step in range(at):
        first.learn(batch_of(pool, short, step))
    state = {part: {name: t.clone() for name, t in tensors.items()} for part, tensors in first.state().items()}
    rest.restore(at, state)
    for step in range(at, short.steps):
        rest.learn(batch_of(pool, short, step))
    assert all(torch.equal(rest.kept[name], tensor) for name, tensor in whole.kept.items())


def test_few_pictures_are_taught_in_several_rounds_and_many_in_one() -> None:
    made = read_recipe("finetune")
    assert in_rounds(made, 400, 8).round == 100
    assert in_rounds(made, 250, 8).round == 125
    assert in_rounds(made, 120, 8).round == 0
    assert in_rounds(made, 400, 100).round == 0
    assert in_rounds(replace(made, views=0), 400, 8).round == 0


def test_what_the_model_was_taught_before_is_taught_in_shorter_rounds() -> None:
    made = read_recipe("finetune")
    short = in_rounds(made, 120, 8, known=True)
    assert (short.round, short.optimizer.warm_up) == (15, 3)
    assert in_rounds(made, 120, 8).optimizer.warm_up == made.optimizer.warm_up
    assert in_rounds(made, 400, 100, known=True).round == 200
    assert in_rounds(replace(made, views_known=0), 400, 8, known=True).round == 100
    assert in_rounds(replace(made, views=0), 30, 8).optimizer.warm_up == 6


def test_the_side_of_a_prompt_can_be_swapped() -> None:
    assert swapped("Left kidney in CT") == "right kidney in CT"
    assert swapped("liver") == ""


def cases(target: str, values: list[float], existence: float = 0.9) -> tuple[Case, ...]:
    return tuple(Case(target, f"g{k % 6}", 0.05, existence, value) for k, value in enumerate(values))


def compared(before: tuple[Case, ...], after: tuple[Case, ...]) -> Compared:
    return Compared(before, after, 0.5, 0.5)


def test_the_gate_lets_only_the_better_pass() -> None:
    rng = np.random.default_rng(0)
    old = list(rng.uniform(0.4, 0.6, 12))
    taught, others = compared(cases("new", [0.1] * 6), cases("new", [0.6] * 6)), cases("old", old)
    same = judge(taught, compared(others, others), ["new"], None)
    assert same.promoted
    fell = judge(taught, compared(others, cases("old", [value - 0.1 for value in old])), ["new"], None)
    assert not fell.promoted
    assert any("other targets fell" in reason for reason in fell.reasons)
    assert any(reason.startswith("old fell") for reason in fell.reasons)
    for before, after, few in ((0.95, 0.27, "2 held-back masks"), (0.0, 0.0, "1 held-back mask")):
        values = int(few[0])
        worse = compared(cases("new", [before] * values), cases("new", [after] * values))
        no = judge(worse, compared(others, others), ["new"], None)  # too few masks to be judged as a group of their own
        assert no.reasons == (f"what was taught is no better: {before:.3f} before, {after:.3f} now, on {few}",)
    blind = judge(compared((), ()), compared(others, others), ["new"], None)
    assert not blind.promoted
    assert "no validation" in blind.reasons[0]


def test_a_threshold_keeps_what_is_there_and_drops_what_is_not() -> None:
    there = [*cases("a", [0.8] * 5, 0.35), *cases("a", [0.8] * 5, 0.7)]
    assert 0.2 < threshold([there], [[0.05, 0.1, 0.2]], 0.5) <= 0.35
    assert threshold([cases("a", [0.8] * 5, 0.95)], [[0.01]], 0.5) == 0.5


WORKER = """
import sys, torch
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
from boltzformer.learn.finetune.together import Together
from boltzformer.learn.finetune.lessons import read_lessons
from boltzformer.learn.finetune.options import prepare
from boltzformer.learn.finetune.sampling import Pool, batch_of
from boltzformer.learn import train
from boltzformer.learn.finetune.student import Student
from boltzformer.weights import checkpoint
from boltzformer.learn.recipe import read_recipe
train.LETTER = 100_000  # gradients in several messages
torch.set_num_threads(1)
team = Together.of_environment()
made = read_recipe("finetune")
recipe = replace(made, steps=8, batch=2, side=64, precision="float32", final=replace(made.final, side=64, batch=2))
model, _ = checkpoint.load(Path({base!r}))
model.double()
prepare(model, "full")
one = Student(model, recipe, world=team.world)
pool = Pool(read_lessons(Path({data!r})).train, (), ())
for step in range(5):
    seen = batch_of(pool, recipe, step, share=(team.rank, team.world))
    names = ("images", "masks", "claims", "drawn", "positive")
    seen = replace(seen, **{{name: getattr(seen, name).double() for name in names}})
    one.learn(seen)
if team.leads:
    torch.save({{name: value.detach() for name, value in one.weights.items()}}, sys.argv[1])
team.wait()
"""


@pytest.mark.slow
def test_two_processes_do_what_one_does_at_twice_the_batch(tmp_path: Path, data: Path, base: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(tests=str(Path(__file__).parents[1]), base=str(base), data=str(data)))
    paths = [str(Path(checkpoint.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)}
    alone = subprocess.run(
        [sys.executable, script, tmp_path / "one"], env=environment, capture_output=True, text=True, check=False
    )
    assert alone.returncode == 0, alone.stderr
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    both = subprocess.run(
        [*launch, str(tmp_path / "two")], env=environment, capture_output=True, text=True, check=False
    )
    assert both.returncode == 0, both.stderr
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-12)
