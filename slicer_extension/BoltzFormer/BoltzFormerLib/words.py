"""What Slicer and our panel call their keys, menus and buttons, for the desk's sentences."""

from __future__ import annotations

from boltzformer.desk.words import ViewerWords

SLICER = ViewerWords(
    layer="segment",
    open_first="Choose a volume first: load one, or press 'Try the example'.",
    undo="One Undo in the Segment Editor brings back what was there.",
    ask_seeds="'How sure?' under Correct asks 4 seeds",
    next_goes="'Next doubtful' goes",
    another_row="click a row for another.",
    draw_box="press 'Draw a box' first, or untick 'Look closer' (both under Correct).",
    without_maps="untick the probability maps (under Keep).",
    another_folder="'Folder…' under Teach chooses another one.",
    another_name="Export… again under another name.",
)
