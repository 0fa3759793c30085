"""What can be said of the extension's files without the application: every name, signal and file is really there."""

import ast
import json
import re

import pytest
import pythonqt
import ui_files
from feature_table import BEGIN, END, table
from scenes import MODULE, ROOT

EXTENSION = ROOT / "slicer_extension"
SOURCES = [MODULE / "BoltzFormer.py", *sorted((MODULE / "BoltzFormerLib").glob("*.py"))]
FORM = ui_files.read(MODULE / "Resources" / "UI" / "BoltzFormer.ui")
SAYING = ("say", "fail", "setText", "folder", "save_as", "open", "choose")
IMPORTED_LATE = ("boltzformer", "PIL", "scipy", "httpx", "SampleData", "torch")


def test_every_widget_that_the_code_names_is_in_the_form_and_the_other_way_round() -> None:
    used = {(name, path.name, line) for path in SOURCES for name, _, line in ui_files.uses(path)}
    assert [one for one in used if one[0] not in FORM.names] == []
    shown_only = {"QLabel", "QVBoxLayout", "QHBoxLayout", "QFormLayout"}
    unused = {name for name, kind in FORM.names.items() if kind not in shown_only} - {one[0] for one in used}
    assert unused == {"BoltzFormer", "casesButton"}  # the form itself, and a part that only folds


def test_every_signal_exists_in_its_class() -> None:
    pythonqt.install()
    widget = pythonqt.load_ui(str(MODULE / "Resources" / "UI" / "BoltzFormer.ui"))
    named = pythonqt.child_widget_variables(widget)
    signals = {(name, signal) for path in SOURCES for name, signal, _ in ui_files.uses(path) if signal}
    assert len(signals) > 30
    for name, signal in signals:
        getattr(named, name).connect(signal, lambda *_: None)  # raises where there is none
    with pytest.raises(AttributeError):
        named.cancelButton.connect("clickked()", print)
    with pytest.raises(AttributeError):
        named.cancelButton.enabeld = True


def test_a_question_that_is_cancelled_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pythonqt.install()
    from BoltzFormerLib.dialogs import SlicerDialogs

    chosen = []
    for line in ("", "second"):
        monkeypatch.setattr(pythonqt.Answers, "line", line)
        chosen.append(SlicerDialogs().choose("Which one?", ["first", "second"]))
    assert chosen == [None, 1]


def test_the_applications_widgets_are_declared_and_hear_of_the_scene() -> None:
    own = {name: kind for name, kind in FORM.names.items() if kind.startswith(("qMRML", "ctk", "qSlicer"))}
    assert set(own.values()) == set(FORM.custom)
    assert set(own.values()) <= set(pythonqt.STAND_INS)
    hear = {receiver for _, signal, receiver, _ in FORM.connections if signal == "mrmlSceneChanged(vtkMRMLScene*)"}
    assert {name for name, kind in own.items() if kind.startswith("qMRML")} - hear == {"BoltzFormer"}
    for sender, _, receiver, slot in FORM.connections:
        assert sender in FORM.names
        assert receiver in FORM.names
        assert slot == "setMRMLScene(vtkMRMLScene*)"


def test_cmake_names_every_file_and_no_other() -> None:
    told = (MODULE / "CMakeLists.txt").read_text("utf-8").replace("${MODULE_NAME}", "BoltzFormer")
    named = set(re.findall(r"^  (\S+\.(?:py|ui|png))$", told, re.MULTILINE))
    there = {path.relative_to(MODULE).as_posix() for path in SOURCES}
    there |= {path.relative_to(MODULE).as_posix() for path in (MODULE / "Resources").rglob("*") if path.is_file()}
    assert named == there
    tests = (MODULE / "Testing" / "Python" / "CMakeLists.txt").read_text("utf-8")
    assert set(re.findall(r"SCRIPT (\S+)\)", tests)) == {one.name for one in (MODULE / "Testing/Python").glob("*.py")}


def test_the_catalogue_entry_says_what_the_index_asks_for() -> None:
    entry = json.loads((EXTENSION / "BoltzFormer.json").read_text("utf-8"))
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "enabled"}
    assert set(entry) <= allowed | {"scm_revision", "scm_type", "scm_url", "tier"}
    assert {"$schema", "category", "scm_url"} <= set(entry)
    cmake = (EXTENSION / "CMakeLists.txt").read_text("utf-8")
    for wanted in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert f"set(EXTENSION_{wanted} " in cmake
    assert f'set(EXTENSION_CATEGORY "{entry["category"]}")' in cmake
    for name in ("LICENSE.txt", "README.md", "BoltzFormer.png", "Screenshots/panel.png"):
        assert (EXTENSION / name).is_file()


def test_importing_the_module_needs_nothing_that_slicer_lacks() -> None:
    """At the top of what is loaded when Slicer starts, and never torch."""
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        every = {name for node in ast.walk(tree) for name in _imported(node)}
        assert "torch" not in every, path
        if path.name in ("BoltzFormer.py", "install.py", "__init__.py", "translating.py"):
            assert not {name for node in tree.body for name in _imported(node)} & set(IMPORTED_LATE), path


def test_what_the_panel_says_can_be_translated() -> None:
    """Sentences of its own; those of the desk, and of the engine's Python, are the same in every viewer."""
    for path in [one for one in SOURCES if one.name != "dicom_program.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            said = list(_said(node))
            assert [ast.unparse(one) for one in said if _is_words(one)] == [], f"{path.name}:{node.lineno}"


def test_lines_end_as_the_index_wants_them() -> None:
    text = (".py", ".ui", ".txt", ".json", ".md")
    for path in [one for one in EXTENSION.rglob("*") if one.suffix in text]:
        assert b"\r" not in path.read_bytes(), path


def test_the_readmes_table_is_what_the_tests_prove() -> None:
    """`python tests/in_slicer/feature_table.py` writes it anew."""
    readme = (EXTENSION / "README.md").read_text("utf-8")
    assert readme[readme.index(BEGIN) : readme.index(END)] == BEGIN + table()


def test_the_readme_says_what_a_user_must_know() -> None:
    readme = (EXTENSION / "README.md").read_text("utf-8")
    for said in ("Research only, not for clinical use", "licence", "patent", "no image leaves", "Tutorial"):
        assert said in readme
    for picture in re.findall(r"\]\((Screenshots/[^)]+)\)", readme):
        assert (EXTENSION / picture).is_file()


def test_the_modules_language_is_that_of_the_python_in_slicer() -> None:
    """3.12 in all Slicers from 5.10 on; nothing newer is used."""
    for path in SOURCES:
        compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True)
        ast.parse(path.read_text("utf-8"), feature_version=(3, 12))


def _said(node: ast.AST) -> list[ast.expr]:
    """What is shown to the user there."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in SAYING or name.endswith("Error"):
            return node.args[:1]
    if isinstance(node, ast.Assign) and any(getattr(one, "attr", "") in ("text", "toolTip") for one in node.targets):
        return [node.value]
    return []


def _is_words(node: ast.expr) -> bool:
    """Words that no dictionary is asked for."""
    if isinstance(node, ast.IfExp):
        return _is_words(node.body) or _is_words(node.orelse)
    if isinstance(node, ast.BoolOp):
        return any(_is_words(one) for one in node.values)
    if isinstance(node, ast.JoinedStr):
        return any(_is_words(one) for one in node.values)
    said = node.value if isinstance(node, ast.Constant) else ""
    return isinstance(said, str) and re.search("[A-Za-z]{2}", said) is not None


def _imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").split(".")[0]}
    return set()
