"""Label colours and SNOMED codes."""

import colorsys
from itertools import combinations

import pytest
from pydicom.sr.codedict import codes

from boltzformer.knowledge import snomed, suggestions
from boltzformer.knowledge.vocabulary import label_colour, slicer_terminology, terms_of


def test_every_code_is_one_that_pydicom_knows_by_the_same_meaning() -> None:
    known = {
        (code.value, code.meaning.lower())
        for name in dir(codes.SCT)
        if name[0].isupper() and (code := getattr(codes.SCT, name))
    }
    tables = (snomed.STRUCTURES, snomed.VERTEBRAE, snomed.PARTS, snomed.FINDINGS, snomed.DEVICES, snomed.FLUIDS)
    used = [code for table in tables for code in table.values()]
    used += [snomed.FINDING, snomed.TISSUE, snomed.DEVICE, snomed.FLUID, snomed.LEFT, snomed.RIGHT, snomed.BOTH]
    assert [code for code in used if (code.value, code.meaning.lower()) not in known] == []
    assert snomed.ANATOMY.value == codes.SCT.BodyStructure.value  # DICOM's CID 7150 calls it as we do


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
        ("lung nodule in chest CT", "Morphologically Abnormal Structure", "Nodule", "Lung", None),
        ("edema surrounding brain haemorrhages", "Morphologically Abnormal Structure", "Edema", "Brain", None),
        ("pancreatic duct", "Anatomical Structure", "Pancreatic duct", None, None),
        ("renal artery", "Anatomical Structure", "Renal artery", None, None),
        ("iliac_artery_left", "Anatomical Structure", "Iliac artery", None, "Left"),
        ("vertebrae_L1", "Anatomical Structure", "L1 vertebra", None, None),
        ("lung_upper_lobe_right", "Anatomical Structure", "Upper lobe of lung", None, "Right"),
        ("both kidneys in CT", "Anatomical Structure", "Kidney", None, "Bilateral"),
        ("left and right lung", "Anatomical Structure", "Lung", None, "Bilateral"),
        ("left ventricle in brain MRI", "Anatomical Structure", "Lateral Ventricle", None, "Left"),
        ("left heart atrium", "Anatomical Structure", "Left atrium", None, None),
        ("peripheral zone in prostate MRI", "Anatomical Structure", "Peripheral zone of the prostate", None, None),
        ("hepatic vessels in CT", "Anatomical Structure", "Blood Vessel", "Liver", None),
        ("neoplastic cells in liver pathology", "Anatomical Structure", "Cell", "Liver", None),
        ("head of the left pancreas", "Tissue", "Tissue", "Pancreas", "Left"),
        ("biopsy needle in breast ultrasound", "Physical object", "Needle", "Breast", None),
        ("cerebrospinal fluid in brain MRI", "Body Substance", "Cerebrospinal Fluid", "Brain", None),
        ("artery or vein", "Tissue", "Tissue", None, None),
        ("something unheard of", "Tissue", "Tissue", None, None),
        ("", "Tissue", "Tissue", None, None),
    ],
)
def test_a_prompt_finds_its_codes_and_an_unknown_one_claims_nothing(name, category, kind, region, side) -> None:
    terms = terms_of(name)
    assert (terms.category.meaning, terms.type.meaning) == (category, kind)
    assert (terms.region and terms.region.meaning, terms.side and terms.side.meaning) == (region, side)


UNKNOWN = {
    *("optic cup", "foveal avascular zone", "intervertebral disc", "white blood cell nucleus", "cell membrane"),
    *("glandular structure", "glomerulus"),
}
"""Targets of our own suggestions whose concept pydicom's dictionary lacks."""


def test_every_suggestion_has_a_code_but_those_whose_concept_is_lacking() -> None:
    lacking = {one.target for one in suggestions.templates() if terms_of(one.prompt).type == snomed.TISSUE}
    assert lacking == UNKNOWN


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
