"""Label colours and SNOMED codes."""

import colorsys
from itertools import combinations

import pytest
from pydicom.sr.codedict import codes

from boltzformer.knowledge import vocabulary
from boltzformer.knowledge.vocabulary import label_colour, slicer_terminology, terms_of


def test_every_code_is_one_that_pydicom_knows_by_the_same_meaning() -> None:
    known = {
        (code.value, code.meaning.lower())
        for name in dir(codes.SCT)
        if name[0].isupper() and (code := getattr(codes.SCT, name))
    }
    used = [*vocabulary._STRUCTURES.values(), *vocabulary._FINDINGS.values()]
    used += [vocabulary.FINDING, vocabulary.TISSUE, vocabulary.LEFT, vocabulary.RIGHT]
    assert [code for code in used if (code.value, code.meaning.lower()) not in known] == []
    assert vocabulary.ANATOMY.value == codes.SCT.BodyStructure.value  # DICOM's CID 7150 calls it as we do


@pytest.mark.parametrize(
    ("name", "category", "kind", "region", "side"),
    [
        ("liver", "Anatomical Structure", "Liver", None, None),
        ("Left kidney in abdominal CT", "Anatomical Structure", "Kidney", None, "Left"),
        ("left ventricle in cardiac MRI", "Anatomical Structure", "Left ventricle", None, None),
        ("MS lesion in brain MRI", "Morphologically Abnormal Structure", "Lesion", "Brain", None),
        ("lung nodules", "Morphologically Abnormal Structure", "Nodule", "Lung", None),
        ("tumour of the right kidney", "Morphologically Abnormal Structure", "Neoplasm", "Kidney", "Right"),
        ("kidney stone", "Morphologically Abnormal Structure", "Lesion", "Kidney", None),
        ("pancreatic duct", "Tissue", "Tissue", None, None),
        ("something unheard of", "Tissue", "Tissue", None, None),
        ("", "Tissue", "Tissue", None, None),
    ],
)
def test_a_prompt_finds_its_codes_and_an_unknown_one_claims_nothing(name, category, kind, region, side) -> None:
    terms = terms_of(name)
    assert (terms.category.meaning, terms.type.meaning) == (category, kind)
    assert (terms.region and terms.region.meaning, terms.side and terms.side.meaning) == (region, side)


def test_slicer_reads_seven_fields() -> None:
    assert slicer_terminology("left lung nodule").split("~") == [
        "Segmentation category and type - 3D Slicer General Anatomy list",
        "SCT^49755003^Morphologically Abnormal Structure",
        "SCT^27925004^Nodule",
        "^^",
        "Anatomic codes - DICOM master list",
        "SCT^39607008^Lung",
        "SCT^7771000^Left",
    ]


def test_label_colours_begin_with_okabe_and_ito_and_stay_apart() -> None:
    assert [round(255 * v) for v in label_colour(1)] == [230, 159, 0]
    colours = [label_colour(label) for label in range(1, 256)]
    assert len(set(colours)) == 255
    assert all(0 <= v <= 1 for colour in colours for v in colour)
    for a, b in combinations(colours[7:15], 2):
        apart = abs(colorsys.rgb_to_hsv(*a)[0] - colorsys.rgb_to_hsv(*b)[0])
        assert min(apart, 1 - apart) > 0.04
