"""Prompt templates, the search over them, and what is said about a doubtful prompt."""

import pytest

from boltzformer.desk.models.knowledge import MOST, Knowledge
from boltzformer.knowledge import suggestions
from boltzformer.knowledge.card import Card, Target
from boltzformer.knowledge.suggestions import (
    MODALITIES,
    doubts,
    meant,
    modality_in_name,
    modality_named,
    of_microscopy,
    search,
    templates,
)


def everything_fits(_: str) -> bool:
    return True


def test_every_template_is_whole_known_by_its_modality_and_there_once():
    assert len(templates()) > 100
    assert all(one.modality in MODALITIES and one.anatomy and one.target and one.prompt for one in templates())
    assert len({(one.modality, one.anatomy, one.target) for one in templates()}) == len(templates())


@pytest.mark.parametrize(
    ("words", "modality", "first"),
    [
        ("lung nodule", "", "lung nodule in chest CT"),
        ("pulmonary nodule", "CT", "lung nodule in chest CT"),
        ("nodul", "", "lung nodule in chest CT"),
        ("liver", "CT", "liver in abdominal CT"),
        ("tumour liver", "CT", "liver tumor in CT"),
        ("haemorrhage subdural", "", "subdural hemorrhage in head CT"),
        ("left ventricle", "MR", "left ventricle in cardiac MRI"),
        ("ms", "", "multiple sclerosis lesion in brain MRI FLAIR"),
    ],
)
def test_search_finds_by_word_beginning_synonym_and_spelling(words, modality, first):
    assert search(words, modality)[0].prompt == first


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("mr_brain_flair_07.nii", "MR"),
        ("CTA arms", "CT"),
        ("head-T1w", "MR"),
        ("pet-ct", ""),  # two things
        ("spectrum", ""),  # a word that only holds 'ct'
        ("IM0001", ""),
    ],
)
def test_a_name_may_say_what_an_image_is(name, modality):
    assert modality_in_name(name) == modality


def test_search_keeps_to_a_modality_and_finds_nothing_for_nonsense():
    assert {one.modality for one in search("", "US")} == {"US"}
    assert len(search("")) == len(templates())
    assert search("unicorn") == []


def test_dicom_and_plain_names_of_a_modality_are_the_same():
    assert [modality_named(name) for name in ("MR", "mri", "DX", "ultrasound", "CT", "??")] == [
        *("MR", "MR", "X-ray", "US", "CT", "")
    ]


def test_a_prompt_is_understood_by_its_phrasing_target_or_synonym():
    for text in ("lung nodule", "Lung nodules in chest CT", "pulmonary nodule"):
        assert meant(text).target == "lung nodule"
    assert meant("something unheard of") is None


def test_a_modality_that_does_not_fit_is_told_and_one_that_fits_is_not():
    (said,) = doubts(["MS lesion in brain MRI"], "CT", everything_fits)
    assert "speaks of MR, but the image is CT" in said
    (said,) = doubts(["microaneurysm"], "CT", everything_fits)
    assert "usually looked for in fundus, but the image is CT" in said
    for prompt in ("lung nodule in chest CT", "free text about anything", "liver", "tell us about it"):
        assert doubts([prompt], "CT", everything_fits) == []
    assert doubts(["MS lesion in brain MRI"], "", everything_fits) == []


def test_doubles_are_told_also_when_they_are_synonyms():
    (said,) = doubts(["Lung nodule", "lung  nodules"], "CT", everything_fits)
    assert "are the same prompt" in said
    (said,) = doubts(["pulmonary nodule", "lung nodule in chest CT"], "CT", everything_fits)
    assert "name the same thing" in said
    assert doubts(["left kidney", "right kidney"], "CT", everything_fits) == []


def test_what_a_long_prompt_loses_is_shown():
    (said,) = doubts(["a" * 20 + " and the end"], "", lambda text: len(text) <= 24)
    assert said.endswith("does not read the end: 'the end'.")


def test_prompts_in_any_script_are_told_apart() -> None:
    assert not [one for one in doubts(["肺结节", "肝"], "", everything_fits) if "same prompt" in one]
    assert [one for one in doubts(["肝", "肝 "], "", everything_fits) if "same prompt" in one]


@pytest.mark.parametrize(
    ("prompts", "modality", "whether"),
    [
        (["cell nuclei in microscopy"], "", True),
        (["nuclei"], "", True),
        (["yeast cells", "scale bar"], "", True),
        (["mitochondria"], "", True),
        (["optic disc"], "", False),
        (["caudate nucleus in brain MRI"], "", False),
        (["cell nuclei", "optic disc in fundus image"], "", False),
        (["anything"], "", False),
        (["anything"], "microscopy", True),
        (["nuclei"], "fundus", False),
    ],
)
def test_what_is_looked_for_in_microscopy(prompts: list[str], modality: str, whether: bool) -> None:
    assert of_microscopy(prompts, modality) is whether


def test_a_letter_is_looked_up_and_not_compared_with_all_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first letter of a prompt holds the viewer for a second."""
    every = {one.target: one for one in templates()}
    targets = tuple(Target(name, (one.modality,), (one.prompt,), 9, 9, 9, True) for name, one in every.items())
    knowledge, made = Knowledge(Card((), targets, ""), asked=True), list[str]()
    assert len(knowledge.completions("m", "", ())) == MOST  # of many more
    words = suggestions._normal
    monkeypatch.setattr(suggestions, "_normal", lambda text: made.append(text) or words(text))
    knowledge.completions("m", "", ())
    assert len(made) < 10 * len(targets)


def test_what_is_typed_finds_its_target_with_every_further_letter() -> None:
    """Also in a word that counts as another one once it is whole, as 'cardiac' does."""
    for whole in ("left atrium in cardiac MRI", "kidney in abdominal CT", "pulmonary artery", "hepatic vessel"):
        target, known = whole.split(" in ")[0], Knowledge()
        for end in range(3, len(whole) + 1):
            found = known.completions(whole[:end], "", ())
            assert target in [one.target for one in found], whole[:end]


def test_a_target_has_one_line_however_the_model_was_taught_to_hear_it() -> None:
    kidney = Target("kidney", ("MR",), ("kidney in abdomen MRI",), 9, 9, 9, True)  # no phrasing of the public ones
    stroke = Target("ischemic stroke lesion", ("MR",), ("ischemic stroke lesion in brain MRI FLAIR",), 9, 9, 9, True)
    knowledge = Knowledge(Card((), (kidney, stroke), ""), asked=True)
    found = knowledge.completions("kidney in abd", "CT", ())
    assert [one.prompt for one in found if one.target == "kidney"] == ["kidney in abdominal CT"]
    (one,) = [one for one in knowledge.completions("stroke", "MR", ()) if one.known]
    assert (one.prompt, "MRI" in one.modalities) == (stroke.prompts[0], True)


def test_what_is_typed_whole_stays_in_the_list_beside_what_is_unknown_and_alone_it_needs_none() -> None:
    taught = [Target(one, ("CT",), (f"{one} in abdominal CT",), 9, 9, 9, True) for one in ("kidney", "spleen")]
    knowledge = Knowledge(Card((), tuple(taught), ""), asked=True)
    found = knowledge.offered("kidney in abdominal CT", "CT", ())
    assert [(one.target, one.known) for one in found][:1] == [("kidney", True)]
    assert len(found) > 1
    assert knowledge.offered("spleen in abdominal CT", "CT", ()) == []


@pytest.mark.parametrize(
    ("typed", "target"),
    [("splean", "spleen"), ("livr in CT", "liver"), ("kidny", "kidney"), ("wibbly", "wibble"), ("zzzz", "")],
)
def test_a_word_that_is_nearly_spelled_right_finds_what_is_meant(typed: str, target: str) -> None:
    own = Target("wibble", ("CT",), ("wibble in CT",), 9, 9, 9, True)  # of no public data
    found = Knowledge(Card((), (own,), ""), asked=True).completions(typed, "CT", ())
    assert [one.target for one in found][:1] == [target][: bool(target)]


@pytest.mark.parametrize(
    ("typed", "modality", "prompt"),
    [
        ("left atr", "", "left atrium"),  # CT, MRI or ultrasound
        ("left atr", "CT", "left atrium in cardiac CT"),
        ("left atr", "MR", "left atrium in cardiac MRI"),
        ("left atrium ct", "", "left atrium in cardiac CT"),  # as the person says
        ("kidney stone", "", "kidney stone"),  # values that may be CT would have told it
        ("multiple scl", "", "multiple sclerosis lesion in brain MRI FLAIR"),  # looked for in nothing else
        ("wibble", "", "wibble"),  # which only the model knows
        ("wibble", "MR", "wibble in MRI"),
        ("wobble", "CT", "wobble"),
        ("left atr", "microscopy", "left atrium"),  # a name said it, and may be wrong
    ],
)
def test_no_completion_guesses_a_modality_that_nobody_knows(typed: str, modality: str, prompt: str) -> None:
    own = Target("wibble", ("CT", "MR"), ("wibble in CT", "wibble in MRI"), 9, 9, 9, True)
    other = Target("wobble", ("MR",), ("wobble in MRI",), 9, 9, 9, True)
    found = Knowledge(Card((), (own, other), ""), asked=True).completions(typed, modality, ())
    assert found[0].prompt == prompt


def test_a_word_of_a_phrasing_that_is_not_written_is_whole() -> None:
    assert not Knowledge().unfinished("kidney in abdominal")
    assert Knowledge().unfinished("kidney in abdomin")


def test_a_word_that_nobody_knows_is_whole_after_a_rest_or_whatever_follows_it() -> None:
    known = Knowledge()
    assert all(known.unfinished("meningioma"[:n], rested=False) for n in range(1, 11))
    assert not any(known.unfinished(line, rested=False) for line in ("meningioma ", "meningioma,", "kidney", ""))
    assert not known.unfinished("meningioma")
