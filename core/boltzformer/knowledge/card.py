"""`Card`: what a model was taught, from what, and how well it does: kept in its checkpoint, read by hosts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from boltzformer.errors import CheckpointError
from boltzformer.knowledge.absent import Candidate, family
from boltzformer.knowledge.manifest import Row
from boltzformer.knowledge.suggestions import meant, modalities_in, templates
from boltzformer.knowledge.vocabulary import SPELLINGS

NOTE = "card"
"""Where it lies in the notes of a checkpoint's history."""
_FINDINGS = {
    *("tumor", "cancer", "carcinoma", "lesion", "cyst", "stone", "nodule", "mass", "metastasi", "hemorrhage", "edema"),
    *("infarct", "abscess", "fracture"),
}
"""Words for what may be in or at an organ, as `_words` writes them: beside an organ's name, they mean another thing."""
TAUGHT_GROUPS = 5
"""From so many groups (patients) on a target counts as taught; with fewer, it was only seen."""


@dataclass(frozen=True)
class Dataset:
    """A data set that the weights were made from."""

    name: str
    licence: str
    """As read in the repository that it was found in, not verified upstream."""
    repository: str
    masks: int
    groups: int


@dataclass(frozen=True)
class Target:
    """What the model was taught to find."""

    name: str
    modalities: tuple[str, ...]
    prompts: tuple[str, ...]
    """Every phrasing, the usual one of each modality first."""
    masks: int
    groups: int
    """Patients, or what stands for them, that it was taught with."""
    all_groups: int
    """Together with those that were held back."""
    taught: bool
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """On validation data: n, dice, dice_interval, …; empty where too little was held back."""


@dataclass(frozen=True)
class Known:
    """What a model's card says about a prompt."""

    prompt: str
    target: str
    """'' if the prompt names nothing that the model was taught."""
    modalities: tuple[str, ...] = ()
    taught: bool = False
    masks: int = 0
    groups: int = 0
    dice: float | None = None
    interval: tuple[float, float] | None = None

    def warning(self) -> str:
        """A sentence for the user; '' where there is nothing to warn of."""
        if not self.target:
            return f"This model never saw '{self.prompt}': don't expect its mask to mean anything."
        said = modalities_in(self.prompt)
        if said and self.modalities and not said & set(self.modalities):
            return f"This model saw {self.target} only in {' and '.join(self.modalities)}: check its mask with care."
        if not self.taught:
            few = "1 patient" if self.groups == 1 else f"{self.groups} patients"
            return f"This model saw {self.target} in only {few}: check its mask with care."
        return ""

    def mark(self) -> str:
        """The same beside a prompt in a list, in a few words."""
        if not self.target:
            return "never taught"
        if self.warning():
            return f"taught in {' and '.join(self.modalities)}" if self.taught else "barely taught"
        return "taught" if self.dice is None else f"taught, Dice {self.dice:.2f}"


@dataclass(frozen=True)
class Card:
    """All that a host or a reader should know of a model."""

    datasets: tuple[Dataset, ...]
    targets: tuple[Target, ...]
    split: str
    """In words: what was held back, and whether these very weights saw it."""
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Device, versions, hash of the data, steps, seconds."""
    metrics: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`macro` and `existence` of an evaluation, and how it was made."""

    @staticmethod
    def made(rows: Sequence[Row], everything: Sequence[Row], *, split: str, run: Mapping[str, Any]) -> Card:
        """From the rows that trained, and all that might have: these tell how many groups a target has."""
        sets: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in rows:
            notes = row.notes
            key = (
                str(notes.get("dataset") or row.source),
                str(notes.get("licence", "")),
                str(notes.get("source_repo", "")),
            )
            sets[key].append(row)
        datasets = tuple(
            Dataset(*key, len(some), len({r.group for r in some})) for key, some in sorted(sets.items(), key=_folded)
        )
        groups: dict[str, set[str]] = defaultdict(set)
        for row in everything:
            groups[row.target].add(row.group)
        mine: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            mine[row.target].append(row)
        targets = tuple(
            Target(
                name,
                tuple(sorted({family(row.modality) for row in some} - {""})),
                _phrasings(some),
                len(some),
                len({row.group for row in some}),
                len(groups[name]),
                len(groups[name]) >= TAUGHT_GROUPS,
            )
            for name, some in sorted(mine.items())
        )
        return Card(datasets, targets, split, run)

    def measured(self, facts: Mapping[str, Any], volumes: Mapping[str, Any] | None = None) -> Card:
        """With the numbers of an evaluation (what `boltzformer evaluate` writes as metrics.json).

        `volumes`: those of another one, of whole volumes, which are told apart from those of pictures.
        """
        kept = ("n", "groups", "dice", "dice_interval", "n_small", "dice_small", "nsd", "hd95_px", "hd95_mm")
        of = facts["targets"]
        targets = tuple(
            replace(
                one,
                metrics={key: of[one.name].get(key) for key in (*kept, "lesions", "missed")} if one.name in of else {},
            )
            for one in self.targets
        )
        named = ("macro", "existence", "bands", "modalities", "never_taught", "other_phrasings", "how", "data")
        whole = {key: value for key, value in (volumes or facts).get("volumes", {}).items() if key != "cases"}
        told = {"volumes": whole} if whole.get("n") else {}
        return replace(self, targets=targets, metrics={**{key: facts[key] for key in named}, **told})

    @staticmethod
    def of(notes: Mapping[str, Any]) -> Card | None:
        """The card in a checkpoint's notes, if there is one."""
        data = notes.get(NOTE)
        if data is None:
            return None
        try:
            return Card(
                tuple(_made(Dataset, one) for one in data["datasets"]),
                tuple(_made(Target, one) for one in data["targets"]),
                str(data["split"]),
                dict(data.get("run", {})),
                dict(data.get("metrics", {})),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(
                f"The model's card can't be read ({type(error).__name__}: {error}): get the model again."
            ) from error

    def notes(self) -> dict[str, Any]:
        """For the notes of a checkpoint's history."""
        return {NOTE: asdict(self)}

    @property
    def in_volumes(self) -> Mapping[str, Mapping[str, Any]]:
        """By target, how it does on whole volumes, asked as a user would; only what was measured."""
        found: Mapping[str, Mapping[str, Any]] = self.metrics.get("volumes", {}).get("targets", {})
        return found

    @property
    def taught(self) -> frozenset[str]:
        """Names of the targets that the model was taught well enough to be judged by."""
        return frozenset(one.name for one in self.targets if one.taught)

    def candidates(self) -> tuple[Candidate, ...]:
        """Taught targets, to draw absent prompts from."""
        return tuple(
            Candidate(one.name, modality, one.prompts)
            for one in self.targets
            for modality in one.modalities
            if one.taught and one.prompts
        )

    def knows(self, prompt: str) -> Known:
        """What was taught of what this prompt names: by a phrasing that was taught, else by a target's name in it."""
        said, meaning = _words(prompt), meant(prompt)
        exact = [one for one in self.targets if said in map(_words, (one.name, *one.prompts))]
        exact += [one for one in self.targets if meaning is not None and one.name == meaning.target]
        one = exact[0] if exact else self._named(said)
        if one is None:
            return Known(prompt, "")
        interval = one.metrics.get("dice_interval")
        return Known(
            prompt,
            one.name,
            one.modalities,
            one.taught,
            one.masks,
            one.groups,
            one.metrics.get("dice"),
            (float(interval[0]), float(interval[1])) if interval else None,
        )

    def _named(self, said: tuple[str, ...]) -> Target | None:
        """The target whose name is in the text, unless that names something longer, such as 'kidney tumor'."""
        own = {_words(one.name): one for one in self.targets}
        every = {*own, *(_words(one.target) for one in templates())}
        inside = [name for name in every if set(name) <= set(said)]
        best = max(inside, key=lambda name: (len(name), _within(name, said), name), default=())
        return None if _FINDINGS & (set(said) - set(best)) else own.get(best)


def split_in_words(trained: Sequence[Row], everything: Sequence[Row], split: str = "") -> str:
    """For `Card.split`: how much was learnt from, and how much was held back, by the name of the split."""
    mine = {row.group for row in trained}
    held = [row for row in everything if row.group not in mine]
    said = f"Trained on {len(trained)} masks of {len(mine)} groups (patients)"
    if not held:
        return f"{said}; nothing was held back."
    named = f" by {split}" if split else ""
    return f"{said}; {len(held)} masks of {len({row.group for row in held})} groups were held back{named}."


def _folded(pair: tuple[tuple[str, ...], object]) -> tuple[str, ...]:
    return tuple(text.casefold() for text in pair[0])


def _phrasings(rows: Iterable[Row]) -> tuple[str, ...]:
    """Most used first; what is usual before what is not."""
    usual, other = Counter[str](), Counter[str]()
    for row in rows:
        usual[row.prompts[0]] += 1
        other.update(row.prompts[1:])
    return tuple(dict.fromkeys([text for text, _ in (*usual.most_common(), *other.most_common())]))


def _made(kind: type[Any], data: Mapping[str, Any]) -> Any:
    """A data class from JSON; names of a newer version are left out."""
    known = {one.name for one in fields(kind)}
    return kind(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in known}
    )


@lru_cache(4096)
def _words(text: str) -> tuple[str, ...]:
    """Lower case, without plurals, so that 'MS lesions' is 'MS lesion'. A viewer asks at every letter that is typed."""
    words = [SPELLINGS.get(word, word) for word in re.findall(r"\w+", text.lower())]
    return tuple(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )


def _within(name: Sequence[str], text: Sequence[str]) -> bool:
    """Whether the words of a name stand in a text, one after the other."""
    return any(tuple(text[k : k + len(name)]) == tuple(name) for k in range(len(text) - len(name) + 1))
