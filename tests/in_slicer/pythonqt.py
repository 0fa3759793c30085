"""An imitation of PythonQt on PySide6, as strict as we know PythonQt to be: a Qt property is an attribute and never
called, signals are connected by their signature, and what a class does not have raises. The application's own widgets
are stand-ins with the members that our panel uses. It proves nothing of PythonQt itself."""

from __future__ import annotations

import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

APP = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


FAILED: list[Exception] = []
"""What slots raised: whoever waits for something must hear of it."""


class Held:
    """A Qt object as PythonQt hands it out."""

    def __init__(self, what: Any) -> None:
        object.__setattr__(self, "what", what)

    def __getattr__(self, name: str) -> Any:
        what = self.what
        name = "objectName" if name == "name" else name
        if name == "connect":
            return self._connect
        meta = what.metaObject()
        if meta.indexOfProperty(name) >= 0:
            return held(what.property(name))
        member = getattr(what, name)
        if isinstance(member, QtCore.SignalInstance):
            raise AttributeError(f"{name} is a signal: connect it by its signature")
        return lambda *given: held(member(*(bare(one) for one in given)))

    def __setattr__(self, name: str, value: Any) -> None:
        what, name = self.what, "objectName" if name == "name" else name
        if what.metaObject().indexOfProperty(name) < 0:
            raise AttributeError(f"{type(what).__name__} has no property '{name}'")
        what.setProperty(name, bare(value))

    def __eq__(self, other: object) -> bool:
        return bare(other) is self.what

    def __hash__(self) -> int:
        return id(self.what)

    def _connect(self, signature: str, slot: Callable[..., None]) -> bool:
        what = self.what
        wanted = QtCore.QMetaObject.normalizedSignature(signature).data().decode()
        known = getattr(type(what), "SIGNALS", ())
        if what.metaObject().indexOfSignal(wanted) < 0 and wanted not in known:
            raise AttributeError(f"{type(what).__name__} has no signal {signature}")
        count = len([one for one in re.search(r"\((.*)\)", wanted).group(1).split(",") if one])

        def heard(*told: Any) -> None:
            try:
                slot(*(held(one) for one in told[:count]))
            except Exception as error:  # Qt would only print it
                FAILED.append(error)
                raise

        getattr(what, wanted.split("(")[0]).connect(heard)
        return True


def held(what: Any) -> Any:
    return Held(what) if isinstance(what, QtCore.QObject) else what


def bare(what: Any) -> Any:
    return what.what if isinstance(what, Held) else what


# --- the application's own widgets ------------------------------------------------------------------------------------


class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene
        self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """Lists the scene's nodes of its types; like Slicer's, it says so when another one is chosen."""

    currentNodeChanged = QtCore.Signal(object)
    SIGNALS = ("currentNodeChanged(vtkMRMLNode*)",)
    scene: Any = None

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self.scene = scene

    def currentNode(self) -> Any:
        return self._node if self._node is not None and self._node.GetScene() is not None else None

    def setCurrentNode(self, node: Any) -> None:
        if node is not self._node:
            self._node = node
            self.clear()
            self.addItem("None" if node is None else node.GetName())
            self.currentNodeChanged.emit(node)


class qMRMLSegmentEditorWidget(QtWidgets.QLabel):
    """Has a real logic behind it, and with that a real history."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__("(Segment Editor)", parent)
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.observed = False

    def setMRMLScene(self, scene: Any) -> None:
        self.logic.SetMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        self.logic.SetSegmentEditorNode(node)

    def setSegmentationNode(self, node: Any) -> None:
        self.logic.SetSegmentationNode(node)

    def setSourceVolumeNode(self, node: Any) -> None:
        self.logic.SetSourceVolumeNode(node)

    def saveStateForUndo(self) -> None:
        self.logic.SaveStateForUndo()

    def setupViewObservations(self) -> None:
        self.observed = True

    def removeViewObservations(self) -> None:
        self.observed = False

    def setActiveEffectByName(self, name: str) -> None:
        self.effect = name


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A line to click, and what is below it. Like CTK's, it shows nothing again that was hidden by itself."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed, self._text, self._forcing = False, "", False

    def childEvent(self, event: Any) -> None:
        if event.added() and event.child().isWidgetType():
            event.child().installEventFilter(self)

    def eventFilter(self, child: Any, event: Any) -> bool:
        told = {QtCore.QEvent.ShowToParent: True, QtCore.QEvent.HideToParent: False}.get(event.type())
        if told is not None and not self._forcing:
            child.setProperty("visibilityToParent", told)
            if told and self._collapsed:
                self._show()
        return False

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            self._show()
            self.contentsCollapsed.emit(collapsed)

    def _show(self) -> None:
        self._forcing = True
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly):
            child.setVisible(not self._collapsed and child.property("visibilityToParent") is not False)
        self._forcing = False
        self.setContentsMargins(0, 22, 0, 0)

    def _set_text(self, text: str) -> None:
        self._text = text

    def showEvent(self, event: Any) -> None:
        self._show()
        super().showEvent(event)

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(0, 0, self.width(), 20, QtGui.QColor("#d0d4dc"))
        painter.drawText(6, 15, f"{'▸' if self._collapsed else '▾'} {self._text}")
        painter.end()

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _set_collapsed)
    text = QtCore.Property(str, lambda self: self._text, _set_text)


STAND_INS = {
    one.__name__: one for one in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentEditorWidget, ctkCollapsibleButton)
}


class _Loader(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[Any] = []

    def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:
        if kind in STAND_INS:
            widget = STAND_INS[kind](parent)
            widget.setObjectName(name)
        elif kind.startswith(("qMRML", "qSlicer", "ctk")):
            raise KeyError(f"there is no stand-in for {kind}")
        else:
            widget = super().createWidget(kind, parent, name)
        self.made.append(widget)
        return widget


def load_ui(path: str) -> Held:
    """As `slicer.util.loadUI`; connections between the application's widgets are made here."""
    root = ElementTree.fromstring(Path(path).read_text("utf-8"))
    wired = [
        [one.findtext(part) for part in ("sender", "signal", "receiver", "slot")] for one in root.iter("connection")
    ]
    for part in [one for one in root if one.tag in ("connections", "customwidgets", "resources")]:
        root.remove(part)
    buffer, loader = QtCore.QBuffer(), _Loader()
    buffer.setData(ElementTree.tostring(root))
    buffer.open(QtCore.QIODevice.ReadOnly)
    widget = loader.load(buffer)
    assert widget is not None, loader.errorString()
    widget.keep = loader
    named = {one.objectName(): one for one in loader.made}
    for sender, signal, receiver, slot in wired:
        getattr(named[sender], signal.split("(")[0]).connect(getattr(named[receiver], slot.split("(")[0]))
    return Held(widget)


def child_widget_variables(widget: Held) -> Any:
    """As `slicer.util.childWidgetVariables`."""
    found = [widget.what, *widget.what.findChildren(QtCore.QObject)]
    return types.SimpleNamespace(**{one.objectName(): Held(one) for one in found if one.objectName()})


# --- the modules that the application has ---------------------------------------------------------------------------


class Answers:
    """What a person answers to dialogs."""

    folder, file, line, yes = "", "", "", True
    asked: list[str] = []  # noqa: RUF012 - one for all


class _FileDialog:
    @staticmethod
    def getExistingDirectory(parent: Any, title: str, start: str) -> str:
        Answers.asked.append(title)
        return Answers.folder

    @staticmethod
    def getSaveFileName(parent: Any, title: str, suggested: str, kinds: str) -> str:
        Answers.asked.append(title)
        return Answers.file

    getOpenFileName = getSaveFileName


class _InputDialog:
    @staticmethod
    def getItem(parent: Any, title: str, label: str, lines: list[str], current: int, *_: Any) -> str:
        """Cancelled, the line that it stood at, as Qt has it."""
        Answers.asked.append(title)
        return next((one for one in lines if Answers.line and Answers.line in one), lines[current])


def _confirm(question: str, **_: Any) -> bool:
    Answers.asked.append(question)
    return Answers.yes


def _made(kind: Any) -> Callable[..., Any]:
    return lambda *given: held(kind(*(bare(one) for one in given)))


def install() -> None:
    """From here on `import qt` and the base classes of scripted modules work."""
    qt = types.ModuleType("qt")
    for name in ("QTimer", "QShortcut", "QLabel", "QPushButton", "QWidget", "QHBoxLayout", "QVBoxLayout"):
        source = next(one for one in (QtCore, QtGui, QtWidgets) if hasattr(one, name))
        setattr(qt, name, _made(getattr(source, name)))
    plain = (
        "Qt",
        "QColor",
        "QBrush",
        "QIcon",
        "QPixmap",
        "QListWidgetItem",
        "QKeySequence",
        "QApplication",
        "QTextCursor",
    )
    for name in plain:
        setattr(qt, name, next(getattr(one, name) for one in (QtCore, QtGui, QtWidgets) if hasattr(one, name)))
    qt.QFileDialog, qt.QInputDialog = _FileDialog, _InputDialog
    base = types.ModuleType("slicer.ScriptedLoadableModule")

    class ScriptedLoadableModule:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent: Any = None) -> None:
            self.parent = parent
            self.layout = parent.layout()

        def setup(self) -> None:
            """Nothing."""

        def resourcePath(self, name: str) -> str:
            return str(Path(sys.modules[type(self).__module__].__file__).parent / "Resources" / name)

    class ScriptedLoadableModuleLogic:
        def __init__(self, parent: Any = None) -> None:
            self.moduleName = type(self).__name__.removesuffix("Logic")

        def getParameterNode(self) -> Any:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag(self.moduleName)
                node = slicer.mrmlScene.AddNode(node)
            return node

    class ScriptedLoadableModuleTest:
        pass

    own = ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest
    base.__all__ = [one.__name__ for one in own]
    for one in own:
        setattr(base, one.__name__, one)
    words = types.ModuleType("slicer.i18n")
    words.tr, words.translate = lambda text: text, lambda context, text: text
    for module in (qt, base, words):
        sys.modules[module.__name__] = module
    slicer.ScriptedLoadableModule, slicer.i18n = base, words
    slicer.util.loadUI, slicer.util.childWidgetVariables = load_ui, child_widget_variables
    slicer.util.mainWindow = lambda: None
    slicer.util.confirmOkCancelDisplay = _confirm
