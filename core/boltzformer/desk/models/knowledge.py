"""What the loaded model knows: sentences about a prompt, and prompts worth typing, from the checkpoint's own card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from boltzformer.knowledge.card import NOTE, Card
from boltzformer.knowledge.suggestions import (
    MODALITIES,
    SAID,
    meant,
    modalities_in,
    modalities_of,
    modality_named,
    respelled,
    search,
)
from boltzformer.protocol import ModelState
from boltzformer.types import GATE, Prompt

GUESS, GUESSES = "Treat the result as a guess.", "Treat the results as guesses."
PICTURES = frozenset({"microscopy", "fundus", "dermoscopy", "endoscopy", "photograph"})
"""Where people have pictures: what one odd volume gave says nothing of them."""
MOST = 12
"""Completions at once."""
REST_MS = 700
"""Without a letter: then a word is whole, whatever it is."""


@dataclass(frozen=True)
class Completion:
    """One line of the list below the prompt: a target, whatever it is looked for in."""

    prompt: str
    """What is typed for whoever chooses it."""
    words: str
    """What the model knows of it."""
    known: bool
    target: str = ""
    modalities: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        name = f"{self.target} — {', '.join(self.modalities)}" if self.target and self.modalities else self.prompt
        return f"{'●' if self.known else '○'} {name}: {self.words}"


@dataclass(frozen=True)
class Knowledge:
    """Of one model; without a card nobody can say what it knows."""

    card: Card | None = None
    asked: bool = False
    """Whether the model has been asked for its card yet."""
    gate: float = GATE
    """The least existence for a mask, where nobody chooses another."""
    name: str = ""
    sha256: str = ""
    """Of its file; '' where nobody said it."""

    @staticmethod
    def of(state: ModelState) -> Knowledge:
        card = Card.of({NOTE: state.card}) if state.card else None
        return Knowledge(card, asked=True, gate=state.gate, name=state.name, sha256=state.sha256)

    def words(self, prompt: str) -> str:
        """'Dice 0.55 in 7 unseen volumes' or 'Dice 0.71 on 48 unseen cases', or why not."""
        if self.card is None:
            return "this model does not say what it was taught" if self.asked else "asking the model…"
        known = self.card.knows(prompt)
        if not known.target:
            return "this model never saw it"
        whole = self.card.in_volumes.get(known.target, {})
        of_pictures = bool(known.modalities) and PICTURES.issuperset(known.modalities) and known.dice is not None
        if whole.get("dice") is not None and not of_pictures:
            return f"Dice {whole['dice']:.2f} in {whole['n']} unseen {'volume' if whole['n'] == 1 else 'volumes'}"
        measured = next(one.metrics for one in self.card.targets if one.name == known.target)
        if known.dice is None or not measured.get("groups"):
            return f"taught on {known.groups} {'case' if known.groups == 1 else 'cases'}, not measured"
        unseen = "1 unseen case" if measured["groups"] == 1 else f"{measured['groups']} unseen cases"
        return f"Dice {known.dice:.2f} on {unseen}"

    def warning(self, prompt: str) -> str:
        """One sentence where its mask is a guess; '' where the model was taught it, or says nothing of itself."""
        if self.card is None:
            return ""
        known = self.card.knows(prompt)
        if not known.target:
            return f"This model never saw '{prompt}'. {GUESS}"
        return known.warning()

    def warnings(self, prompts: Sequence[str]) -> str:
        """Of several prompts at once: what holds for more than one is said once."""
        never = [one for one in prompts if self.card is not None and not self._knows(one)]
        said = [self.warning(one) for one in prompts if one not in never]
        if never:
            names = "', '".join(never)
            said.insert(0, f"This model never saw '{names}'. {GUESS if len(never) == 1 else GUESSES}")
        return " ".join(one for one in said if one)

    def unfinished(self, line: str, *, rested: bool = True) -> bool:
        """Whether its last word may go on: nobody is warned in mid-word. Of one that begins no word that we know, only
        a rest of `REST_MS` tells that (`rested`)."""
        words = line.lower().split()
        if not words or line[-1:].isspace() or line.endswith(","):
            return False
        said = [one.prompt for one in self.completions(line, "", ())]
        said += [text for one in search(line) for text in (one.prompt, *one.synonyms)]  # 'leukocy': white blood cell
        known = {word for text in said for word in text.lower().split()}
        return words[-1] not in known and (not rested or any(word.startswith(words[-1]) for word in known))

    def completions(self, typed: str, modality: str, history: tuple[str, ...]) -> list[Completion]:
        """What the user may mean, a line for each target and what the model knows first; before a word is typed, what
        was asked lately. Of a target's phrasings the one of the image's `modality`, where that is known or may be told
        by its values or its name; else none that guesses it. Where nothing has all words, one or two letters of a word
        may be wrong."""
        if not typed.strip():
            found = dict.fromkeys(history, "")
        else:
            found = self._with_all(typed, modality) or self._with_all(typed, "")  # a name may say another modality
            taught = () if found or self.card is None else [one.name for one in self.card.targets]
            if not found and (line := respelled(typed, taught)):
                found = self._with_all(line, modality)
        known = {text: self._knows(text) for text in found}
        first = sorted(found, key=lambda text: not known[text])[:MOST]  # a letter may mean half of the vocabulary
        return [
            Completion(text, self.words(text), known[text], found[text], modalities_of(found[text], text))
            for text in first
        ]

    def offered(self, line: str, modality: str, history: tuple[str, ...]) -> list[Completion]:
        """The list below a line in hand; empty where the line itself is all that it would hold."""
        found = self.completions(line, modality, history)
        return [] if [one.prompt for one in found] == [line] else found

    def _with_all(self, typed: str, modality: str) -> dict[str, str]:
        """Prompts that hold every word, and the target of each."""
        named, fitting = modalities_in(typed), defaultdict[str, dict[str, str]](dict)
        for one in search(typed, modality):
            fitting[one.target].setdefault(one.modality, one.prompt)
        prompts = {target: _fitting(target, some, modality, named) for target, some in fitting.items()}
        for target, text, fits in self._usual(typed.lower().split(), modality, named):
            template = meant(text)
            prompts.setdefault(target if template is None else template.target, fits)
        return {text: target for target, text in prompts.items()}

    def _usual(self, words: Sequence[str], modality: str, named: Collection[str]) -> list[tuple[str, str, str]]:
        """Of the targets that the model was taught, and as they were called, those with all of these words; and what
        of it fits an image of this modality."""
        targets = () if self.card is None else self.card.targets
        usual = [one for one in targets if one.prompts and all(word in one.prompts[0].lower() for word in words)]
        found = list[tuple[str, str, str]]()
        for one in usual:
            said = {kind: text for text in reversed(one.prompts) for kind in modalities_in(text)}
            taught = {modality_named(kind) or kind: "" for kind in one.modalities} | said
            text = one.prompts[0]
            fits = _fitting(one.name, taught, modality, named) if modalities_in(text) else text
            found.append((one.name, text, fits))
        return found

    def _knows(self, prompt: str) -> bool:
        return self.card is not None and bool(self.card.knows(prompt).target)


def _fitting(target: str, phrasings: Mapping[str, str], modality: str, named: Collection[str]) -> str:
    """Of a target's phrasings, each of one modality, that of the image's, or of one that a person `named`; the plain
    name of the target where that would be a guess. Values that may be CT tell it, so CT is one where they don't."""
    sure = [modality_named(modality)] if modality else [*named]
    sure += [kind for kind in phrasings if not modality and len(phrasings) == 1 and kind != "CT"]
    return next((phrasings[kind] for kind in sure if phrasings.get(kind)), target)


def as_prompt(text: str) -> Prompt:
    """Named by its target, where the vocabulary knows one: 'MS lesion' for 'MS lesion in brain MRI'."""
    template = meant(text)
    return Prompt(text, template.target if template is not None else "")


def named_apart(texts: list[str]) -> list[Prompt]:
    """One prompt per text; two that mean one target keep their own words as names."""
    prompts = [as_prompt(text) for text in dict.fromkeys(texts)]
    names = [prompt.name for prompt in prompts]
    return [prompt if names.count(prompt.name) == 1 else Prompt(prompt.text) for prompt in prompts]


def named_beside(prompt: Prompt, names: Collection[str]) -> Prompt:
    """As it is called among masks of these names: 'left atrium (MRI)' beside 'left atrium', or in its own words."""
    if prompt.name not in names:
        return prompt
    said = [SAID.get(kind, kind) for kind in MODALITIES if kind in modalities_in(prompt.text)]
    name = f"{prompt.name} ({', '.join(said)})" if said else prompt.text
    return Prompt(prompt.text, prompt.text if name in names else name)
