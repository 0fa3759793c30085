"""What structures are called and how they look: label colours, and SNOMED CT codes for the words of a prompt."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from boltzformer.knowledge.snomed import (
    ANATOMY,
    BOTH,
    DEVICE,
    DEVICES,
    FINDING,
    FINDINGS,
    FLUID,
    FLUIDS,
    LEFT,
    NAMES_ITS_SIDE,
    PARTS,
    RIGHT,
    STRUCTURES,
    TISSUE,
    VERTEBRAE,
    Code,
)

# Okabe and Ito's palette without black: told apart by people with any kind of colour vision.
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_GOLDEN = 0.618034


def label_colour(label: int) -> tuple[float, float, float]:
    """Red, green, blue in 0…1 of a label value; after the seventh, hues as far apart as they go."""
    if 1 <= label <= len(PALETTE):
        red, green, blue = PALETTE[label - 1]
        return red / 255, green / 255, blue / 255
    return colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.65, 0.9)


@dataclass(frozen=True)
class Terms:
    """What a mask shows, as DICOM and 3D Slicer say it."""

    category: Code
    type: Code
    region: Code | None = None
    """Where a finding lies."""
    side: Code | None = None


SPELLINGS = {
    "tumour": "tumor",
    "oedema": "edema",
    "haemorrhage": "hemorrhage",
    "haematoma": "hematoma",
    "oesophagus": "esophagus",
    "calculus": "stone",
    "metastases": "metastasis",
    "vertebrae": "vertebra",
    "disk": "disc",
    "renal": "kidney",
    "hepatic": "liver",
    "pulmonary": "lung",
    "cardiac": "heart",
    "splenic": "spleen",
    "pancreatic": "pancreas",
}


ALSO = {
    "backbone": "spine",
    "brainstem": "brain stem",
    "caudate": "caudate nucleus",
    "celiac trunk": "celiac artery",
    "cell nuclei": "cell nucleus",
    "cranium": "skull",
    "eye lens": "lens",
    "fat": "adipose tissue",
    "fovea": "fovea centralis",
    "gall bladder": "gallbladder",
    "gray substance": "gray matter",
    "grey matter": "gray matter",
    "head of femur": "femoral head",
    "heart muscle": "myocardium",
    "large bowel": "large intestine",
    "left heart atrium": "left atrium",
    "left heart ventricle": "left ventricle",
    "lens of eye": "lens",
    "lower lobe": "lower lobe of lung",
    "lung lower lobe": "lower lobe of lung",
    "lung middle lobe": "middle lobe of lung",
    "lung upper lobe": "upper lobe of lung",
    "middle lobe": "middle lobe of lung",
    "muscle of heart": "myocardium",
    "optic chiasma": "optic chiasm",
    "optic nerve head": "optic disc",
    "ovaries": "ovary",
    "pallidum": "globus pallidus",
    "pituitary": "pituitary gland",
    "prostate gland": "prostate",
    "prostate peripheral zone": "peripheral zone of prostate",
    "prostate transition zone": "transition zone of prostate",
    "right heart atrium": "right atrium",
    "right heart ventricle": "right ventricle",
    "small bowel": "small intestine",
    "spinal column": "spine",
    "symphysis pubis": "pubic symphysis",
    "teeth": "tooth",
    "testes": "testis",
    "thorax": "chest",
    "thymus gland": "thymus",
    "thyroid gland": "thyroid",
    "upper lobe": "upper lobe of lung",
    "urinary bladder": "bladder",
    "vertebral canal": "spinal canal",
    "vertebral column": "spine",
    "windpipe": "trachea",
}
"""Other names of structures."""
ADJECTIVES = {
    "aortic": "aorta",
    "bronchial": "bronchus",
    "cerebral": "brain",
    "esophageal": "esophagus",
    "gastric": "stomach",
    "hippocampal": "hippocampus",
    "mammary": "breast",
    "myocardial": "myocardium",
    "ovarian": "ovary",
    "prostatic": "prostate",
    "retinal": "retina",
    "tracheal": "trachea",
    "uterine": "uterus",
}
"""'retinal vessels' lie in the retina. Those that most prompts use stand among the spellings."""


def terms_of(name: str) -> Terms:
    """The codes for a prompt or label name; plain 'Tissue' where we know none. 'MS lesion in brain MRI' → a lesion."""
    words = _words(name)
    text = " ".join(words)
    phrase = re.split(r" (?:in|on) ", text)[0]
    head = _FURTHER.split(phrase)[0]
    whose, beyond = phrase[len(head) :], text[len(head) :]
    around = _longest(beyond, _PLACES)
    if finding := _longest(head, FINDINGS, at_the_end=True):
        return _at(_longest(head, _PLACES) or around, words, FINDING, FINDINGS[finding])
    if "vertebra" in words and (level := next((word for word in words if word in VERTEBRAE), None)):
        return Terms(ANATOMY, VERTEBRAE[level])
    if structure := _structure(phrase, around) or ("" if _longest(whose, _PLACES) else _structure(head, around)):
        return Terms(ANATOMY, _PLACES[structure], side=_side(words, structure))
    for category, known in ((ANATOMY, PARTS), (DEVICE, DEVICES), (FLUID, FLUIDS)):
        if (kind := _longest(head, known, at_the_end=True)) and " or " not in head:
            before = re.sub(rf"{kind}s?$", "", head)
            return _at(_longest(before, _PLACES) or around, words, category, known[kind])
    return _at(around, words, TISSUE, TISSUE)


def _words(name: str) -> list[str]:
    """In one spelling, adjectives as the structures that they speak of."""
    words = []
    for word in re.findall(r"[a-z]+\d*", name.lower()):
        one = word.removesuffix("s")
        plain = SPELLINGS.get(word) or (f"{SPELLINGS[one]}s" if one in SPELLINGS else word)
        words.append(ADJECTIVES.get(plain, plain))
    return words


_FURTHER = re.compile(r" (?:of|including|surrounding|around|near|inside|with) ")
"""What stands behind these words is not what is looked for."""
_PLACES = {
    " ".join(_words(name)): code
    for name, code in (STRUCTURES | {other: STRUCTURES[usual] for other, usual in ALSO.items()}).items()
}
"""Structures by every name we know, spelt as prompts are before they are compared."""
_BESIDE = {"left", "right", "both", "bilateral", "and", "the", "a", "anterior", "posterior"}
"""Words that make no other structure of one."""


def _structure(phrase: str, around: str) -> str:
    """The structure that a phrase is the name of; what lies around it may tell which of several it is."""
    words = phrase.split()
    plain = " ".join(word for word in words if word not in _BESIDE)
    for said in (f"{phrase} of {around}", f"{plain} of {around}", phrase, plain):
        for form in (said, re.sub(r"s\b", "", said, count=1), said.removesuffix("s"), said.removesuffix("es")):
            if form in _PLACES:
                return form
    return ""


def _at(place: str, words: Sequence[str], category: Code, kind: Code) -> Terms:
    """Something that lies in a structure, if one is named."""
    return Terms(category, kind, _PLACES[place] if place else None, _side(words, place))


def _side(words: Sequence[str], structure: str) -> Code | None:
    """'left ventricle' names its side itself; 'left lung' needs it as a modifier."""
    named = structure != "" and _PLACES[structure] in [STRUCTURES[name] for name in NAMES_ITS_SIDE]
    bare = set(words) - (set(structure.split()) if named else set())
    if bare & {"both", "bilateral"} or {"left", "right"} <= bare:
        return BOTH
    return LEFT if "left" in bare else RIGHT if "right" in bare else None


def _longest(text: str, known: Iterable[str], *, at_the_end: bool = False) -> str:
    end = "$" if at_the_end else r"\b"
    return max((term for term in known if re.search(rf"\b{term}s?{end}", text)), key=len, default="")


def slicer_terminology(name: str) -> str:
    """The codes as one tag of a segment in 3D Slicer."""
    terms = terms_of(name)
    region_side = terms.side if terms.region else None
    type_side = None if terms.region else terms.side
    return "~".join(
        [
            "Segmentation category and type - 3D Slicer General Anatomy list",
            _slicer(terms.category),
            _slicer(terms.type),
            _slicer(type_side),
            "Anatomic codes - DICOM master list",
            _slicer(terms.region),
            _slicer(region_side),
        ]
    )


def _slicer(code: Code | None) -> str:
    return f"SCT^{code.value}^{code.meaning}" if code else "^^"
