"""Prompts that the model may know: templates by modality and anatomy, a search over them, and doubts about a prompt.

Free text is always allowed: a doubt is a sentence for the user, never a refusal.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from boltzformer.knowledge.vocabulary import SPELLINGS

MODALITIES = {
    "CT": ("ct", "computed tomography", "cta"),
    "MR": ("mr", "mri", "magnetic resonance", "flair", "dwi"),
    "US": ("ultrasound", "sonography", "ultrasonography", "echocardiography", "us"),
    "X-ray": ("x-ray", "xray", "radiograph", "mammogram", "mammography"),
    "PET": ("pet",),
    "OCT": ("oct", "optical coherence tomography", "octa"),
    "fundus": ("fundus", "ophthalmoscopy"),
    "endoscopy": ("endoscopy", "colonoscopy", "endoscopic"),
    "dermoscopy": ("dermoscopy", "dermoscopic"),
    "microscopy": ("microscopy", "histology", "pathology", "histopathology", "blood smear"),
    "photograph": ("photograph", "photo"),
}
"""Our name of a modality → words that say it in a prompt."""
_IN_NAMES = {
    "CT": {"ct", "cta", "hrct", "cect", "ncct"},
    "MR": {"mr", "mri", "flair", "dwi", "t1", "t2", "t1w", "t2w", "t1c", "t1ce", "mprage"},
    "US": {"ultrasound", "sonography"},
    "PET": {"pet"},
    "OCT": {"oct", "octa"},
    "microscopy": {"histology", "wsi", "lsm", "confocal", "dapi"},
}
"""Our name of a modality → words of file names that say it."""
_MICROSCOPIC = re.compile(
    r"\b(cells?|nucle(us|i)|glomerul\w+|mitochondri\w+|bacteri\w+|organoids?|microscop\w+|smears?)\b"
)
"""Words of what is looked for with a microscope, where a prompt names no modality."""
SAID = {"MR": "MRI", "US": "ultrasound"}
"""What people call them, where that is not our name."""
_DICOM = {
    "CT": "CT",
    "MR": "MR",
    "US": "US",
    "CR": "X-ray",
    "DX": "X-ray",
    "MG": "X-ray",
    "XA": "X-ray",
    "RF": "X-ray",
    "PT": "PET",
    "OPT": "OCT",
    "OCT": "OCT",
    "OP": "fundus",
    "ES": "endoscopy",
    "SM": "microscopy",
    "GM": "microscopy",
}
"""What DICOM calls them."""
NEAR = 0.8
"""Likeness of two spellings of a word from which one may be meant by the other: 'splean' and 'spleen' have 0.83."""


@dataclass(frozen=True)
class Template:
    """A target as training data names it."""

    modality: str
    anatomy: str
    target: str
    prompt: str
    """The usual phrasing."""
    synonyms: tuple[str, ...] = ()


@cache
def templates() -> tuple[Template, ...]:
    """All of them: targets and phrasings of public segmentation data sets."""
    lines = files("boltzformer").joinpath("assets", "prompts.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    return tuple(
        Template(modality, anatomy, target, prompt, tuple(part for part in synonyms.split("; ") if part))
        for modality, anatomy, target, prompt, synonyms in rows
    )


def search(words: str, modality: str = "", more: Iterable[Template] = ()) -> list[Template]:
    """Templates, and `more` of them, that hold every word (or its beginning), best first; `modality` as DICOM or we
    call it, '' for all."""
    wanted, only = _words(words), modality_named(modality) if modality else ""
    known = [*templates(), *more]
    scored = [(_score(one, wanted), one) for one in known if not only or one.modality == only]
    return [one for score, one in sorted(scored, key=lambda pair: -pair[0]) if score > 0 or not wanted]


def respelled(line: str, more: Iterable[str] = ()) -> str:
    """The line with known words in the place of those that are nearly spelled so, from templates and `more` names; ''
    where one of its words is near to none."""
    known, words = sorted({*_every_word(), *(word for text in more for word in _words(text))}), list[str]()
    for word in _words(line):
        begun = any(one.startswith(word) for one in known)
        near = [word] if begun else get_close_matches(word, known, 1, NEAR)
        if not near:
            return ""
        words += near
    return " ".join(words)


@cache
def _every_word() -> frozenset[str]:
    return frozenset(
        word for one in templates() for text in (one.target, one.prompt, *one.synonyms) for word in _held(text)
    )


def modality_named(name: str) -> str:
    """'MR', 'mri', 'DX', … → our name; '' where we know none."""
    if name.upper() in _DICOM:
        return _DICOM[name.upper()]
    return next((ours for ours, said in MODALITIES.items() if name.lower() in (ours.lower(), *said)), "")


def modality_in_name(name: str) -> str:
    """What a file's name says of its modality ('mr_brain_07', 'CTA-arms', 'head_T1w'), as we call it; '' where it says
    nothing, or two things."""
    words = {word for word in re.split(r"[^a-z0-9]+", name.lower()) if word}
    said = {ours for ours, short in _IN_NAMES.items() if words & short}
    return said.pop() if len(said) == 1 else ""


def modalities_of(target: str, prompt: str = "") -> tuple[str, ...]:
    """In which a target is looked for, and a prompt says that it is, as people call them, in the order of our list."""
    known = {one.modality for one in templates() if one.target == target} | modalities_in(prompt)
    return tuple(SAID.get(one, one) for one in MODALITIES if one in known)


def doubts(prompts: Sequence[str], modality: str, fits: Callable[[str], bool]) -> list[str]:
    """What the user should know before a run: modality that does not fit, doubles, and what a long prompt loses."""
    return [*_unfitting(prompts, modality_named(modality)), *_doubled(prompts), *_cut(prompts, fits)]


def meant(prompt: str) -> Template | None:
    """The template that this text is the prompt, the target or a synonym of."""
    return _called().get(_normal(prompt))


@cache
def _called() -> dict[str, Template]:
    """By all that each is called; what may mean two targets means none."""
    fitting = defaultdict[str, list[Template]](list)
    for one in templates():
        for said in {_normal(text) for text in (one.prompt, one.target, *one.synonyms)}:
            fitting[said].append(one)
    return {said: some[0] for said, some in fitting.items() if len({one.target for one in some}) == 1}


def modalities_in(prompt: str) -> set[str]:
    """The modalities that a prompt speaks of, as we call them."""
    text = f" {' '.join(re.findall(r'[a-z-]+', prompt.lower()))} "
    return {ours for ours, said in MODALITIES.items() if any(f" {word} " in text for word in said if word != "us")}


def of_microscopy(prompts: Sequence[str], modality: str = "") -> bool:
    """Whether these are looked for in microscopy, where objects keep their size as pictures grow, and many fit in one.

    By the image's own modality where it is known, else by what the prompts say. Elsewhere a larger picture shows the
    same organ larger: it is shrunk, as those were that models learnt from.
    """
    if modality:
        return modality == "microscopy"
    said = _spoken_of(prompts)
    seen = {"microscopy"} in said or any(_MICROSCOPIC.search(text.lower()) for text in prompts)
    return seen and may_be_cells(prompts)


def may_be_cells(prompts: Sequence[str], modality: str = "") -> bool:
    """Whether nothing says that they are anything else; of an image that is known to be of microscopy only what a
    prompt itself names: a vessel there is none of an eye."""
    said = map(modalities_in, prompts) if modality == "microscopy" else _spoken_of(prompts)
    return set[str]().union({modality} - {""}, *said) <= {"microscopy"}


def _spoken_of(prompts: Sequence[str]) -> list[set[str]]:
    return [{one.modality} if (one := meant(text)) is not None else modalities_in(text) for text in prompts]


def _unfitting(prompts: Sequence[str], image: str) -> Iterator[str]:
    for prompt in prompts if image else ():
        said, this = modalities_in(prompt), meant(prompt)
        known = {one.modality for one in templates() if this is not None and one.target == this.target}
        if said and image not in said:
            yield f"'{prompt}' speaks of {' and '.join(sorted(said))}, but the image is {image}."
        elif known and image not in known and not said:
            yield f"'{prompt}' is usually looked for in {' or '.join(sorted(known))}, but the image is {image}."


def _doubled(prompts: Sequence[str]) -> Iterator[str]:
    for number, prompt in enumerate(prompts):
        for earlier in prompts[:number]:
            mine, other = meant(prompt), meant(earlier)
            same = mine is not None and other is not None and mine.target == other.target
            if _normal(prompt) == _normal(earlier):
                yield f"'{prompt}' and '{earlier}' are the same prompt."
            elif same:
                yield f"'{prompt}' and '{earlier}' name the same thing; --suppress keeps only the surer masks."


def _cut(prompts: Sequence[str], fits: Callable[[str], bool]) -> Iterator[str]:
    for prompt in prompts:
        if not fits(prompt):
            low, high = 0, len(prompt)  # the model reads the beginning up to its limit
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if fits(prompt[:middle]) else (low, middle - 1)
            rest = prompt[low:].strip()
            shown = rest if len(rest) <= 60 else f"{rest[:60]}…"
            yield f"'{prompt[:30]}…' is too long for this model; it does not read the end: '{shown}'."


def _score(one: Template, wanted: Sequence[str]) -> float:
    """0 unless every word is found; words of the target count most."""
    score = 0.0
    for word in wanted:
        places = [(4.0, one.target), (2.0, one.prompt), (1.5, " ".join(one.synonyms))]
        places += [(1.0, f"{one.modality} {one.anatomy} {' '.join(MODALITIES[one.modality])}")]
        hits = [weight + (held == word) for weight, text in places for held in _held(text) if held.startswith(word)]
        if not hits:
            return 0
        score += max(hits)
    return score / (1 + len(_words(one.target)))  # 'liver' finds the liver before its tumour


def _words(text: str) -> list[str]:
    return [SPELLINGS.get(word, word) for word in re.findall(r"[\w-]+", text.lower())]


@cache
def _held(text: str) -> tuple[str, ...]:
    """The words of a template's text, also as they are written there: who types 'cardi' begins 'cardiac', which is
    'heart' to us only once it is whole."""
    return tuple(dict.fromkeys([*_words(text), *re.findall(r"[\w-]+", text.lower())]))


def _normal(text: str) -> str:
    words = _words(text)
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words
        if word not in ("the", "a", "an")
    )
