"""What structures are called and how they look: label colours, and SNOMED CT codes for the words of a prompt."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable
from dataclasses import dataclass

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
class Code:
    """A SNOMED CT concept."""

    value: str
    meaning: str


@dataclass(frozen=True)
class Terms:
    """What a mask shows, as DICOM and 3D Slicer say it."""

    category: Code
    type: Code
    region: Code | None = None
    """Where a finding lies."""
    side: Code | None = None


ANATOMY = Code("123037004", "Anatomical Structure")
FINDING = Code("49755003", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "Tissue")
RIGHT = Code("24028007", "Right")
LEFT = Code("7771000", "Left")

# Each code is checked in the tests against the dictionary that pydicom ships; what is not in there is left out.
_STRUCTURES = {
    "adrenal gland": Code("23451007", "Adrenal gland"),
    "aorta": Code("15825003", "Aorta"),
    "bladder": Code("89837001", "Bladder"),
    "bone": Code("3138006", "Bone"),
    "brain": Code("12738006", "Brain"),
    "breast": Code("76752008", "Breast"),
    "cerebellum": Code("113305005", "Cerebellum"),
    "colon": Code("71854001", "Colon"),
    "duodenum": Code("38848004", "Duodenum"),
    "esophagus": Code("32849002", "Esophagus"),
    "femur": Code("71341001", "Femur"),
    "gallbladder": Code("28231008", "Gallbladder"),
    "heart": Code("80891009", "Heart"),
    "hippocampus": Code("5366008", "Hippocampus"),
    "kidney": Code("64033007", "Kidney"),
    "left atrium": Code("82471001", "Left atrium"),
    "left ventricle": Code("87878005", "Left ventricle"),
    "liver": Code("10200004", "Liver"),
    "lung": Code("39607008", "Lung"),
    "lymph node": Code("59441001", "Lymph node"),
    "pancreas": Code("15776009", "Pancreas"),
    "prostate": Code("41216001", "Prostate"),
    "rib": Code("113197003", "Rib"),
    "right atrium": Code("73829009", "Right atrium"),
    "right ventricle": Code("53085002", "Right ventricle"),
    "skin": Code("39937001", "Skin"),
    "spinal cord": Code("2748008", "Spinal cord"),
    "spleen": Code("78961009", "Spleen"),
    "stomach": Code("69695003", "Stomach"),
    "thyroid": Code("69748006", "Thyroid"),
    "trachea": Code("44567001", "Trachea"),
    "uterus": Code("35039007", "Uterus"),
    "vertebra": Code("51282000", "Vertebra"),
}
_NEOPLASM, _LESION, _HEMORRHAGE = (
    Code("108369006", "Neoplasm"),
    Code("52988006", "Lesion"),
    Code("50960005", "Hemorrhage"),
)
_NODULE, _CYST, _EDEMA = Code("27925004", "Nodule"), Code("367643001", "Cyst"), Code("79654002", "Edema")
_FINDINGS = {
    "cancer": _NEOPLASM,
    "cyst": _CYST,
    "edema": _EDEMA,
    "glioma": _NEOPLASM,
    "hematoma": Code("35566002", "Hematoma"),
    "hemorrhage": _HEMORRHAGE,
    "infarct": _LESION,
    "lesion": _LESION,
    "mass": Code("4147007", "Mass"),
    "metastasis": Code("14799000", "Neoplasm, Secondary"),
    "nodule": _NODULE,
    "polyp": _LESION,
    "stone": _LESION,
    "tumor": _NEOPLASM,
    "ulcer": Code("56208002", "Ulcer"),
}
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


def terms_of(name: str) -> Terms:
    """The codes for a prompt or label name; plain 'Tissue' where we know none. 'MS lesion in brain MRI' → a lesion."""
    words = [SPELLINGS.get(word, word) for word in re.findall(r"[a-z]+", name.lower())]
    head = re.split(r" (?:in|on|of) ", " ".join(words))[0]
    structure, finding = _longest(" ".join(words), _STRUCTURES), _longest(head, _FINDINGS, at_the_end=True)
    # 'left ventricle' names its side itself; 'left lung' needs it as a modifier
    bare = re.sub(rf"\b{structure}\b", "", " ".join(words)).split()
    side = LEFT if "left" in bare else RIGHT if "right" in bare else None
    if finding:
        return Terms(FINDING, _FINDINGS[finding], _STRUCTURES[structure] if structure else None, side)
    if structure and re.fullmatch(rf"(?:left |right )?{structure}s?", head):  # not the duct of the pancreas
        return Terms(ANATOMY, _STRUCTURES[structure], side=side)
    return Terms(TISSUE, TISSUE)


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
