"""What a scene remembers of the panel: volume, segmentation, prompts. Plain parameters and node references."""

from __future__ import annotations

from typing import Any

NAME = "BoltzFormer"
VOLUME, SEGMENTATION, PROMPTS = "InputVolume", "Segmentation", "Prompts"


class Parameters:
    """Of one scene; a node that comes with a loaded scene is taken over."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    @property
    def node(self) -> Any:
        """Made when it is first asked for."""
        node = self._scene.GetSingletonNode(NAME, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = self._scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.SetSingletonTag(NAME)
            node.SetName(NAME)
            node.SetAttribute("ModuleName", NAME)
            made = self._scene.AddNode(node)
            node.UnRegister(None)
            node = made
        return node

    def volume(self) -> Any:
        return self.node.GetNodeReference(VOLUME)

    def segmentation(self) -> Any:
        return self.node.GetNodeReference(SEGMENTATION)

    def prompts(self) -> list[str]:
        return (self.node.GetParameter(PROMPTS) or "").splitlines()

    def choose(self, volume: Any, segmentation: Any) -> None:
        for role, node in ((VOLUME, volume), (SEGMENTATION, segmentation)):
            self.node.SetNodeReferenceID(role, None if node is None else node.GetID())

    def ask(self, prompts: list[str]) -> None:
        self.node.SetParameter(PROMPTS, "\n".join(prompts))


def editor_node(scene: Any) -> Any:
    """The settings of our embedded Segment Editor; segments may overlap, since prompts do."""
    node = scene.GetSingletonNode(NAME, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.SetSingletonTag(NAME)
        node.SetOverwriteMode(node.OverwriteNone)
        made = scene.AddNode(node)
        node.UnRegister(None)
        node = made
    return node
