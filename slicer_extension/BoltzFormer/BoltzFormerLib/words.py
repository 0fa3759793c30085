"""What Slicer and our panel call their keys, menus and buttons, for the desk's sentences."""

from __future__ import annotations

from boltzformer.desk.words import ViewerWords
from BoltzFormerLib.translating import tr

SLICER = ViewerWords(
    layer=tr("segment"),
    open_first=tr("Choose a volume first: load one, or press 'Try the example'."),
    undo=tr("One Undo in the Segment Editor brings back what was there."),
    ask_seeds=tr("'How sure?' under Correct asks 4 seeds"),
    next_goes=tr("'Next doubtful' goes"),
    another_row=tr("click a row for another."),
    draw_box=tr("press 'Draw a box' first, or untick 'Look closer' (both under Correct)."),
    without_maps=tr("untick the probability maps (under Keep)."),
    another_folder=tr("This is the usual folder; 'Folder…' under Keep takes another one."),
    another_name=tr("Export… again under another name."),
)
