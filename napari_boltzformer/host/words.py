"""What napari and our dock call their keys, menus and buttons, for the desk's sentences."""

from __future__ import annotations

from boltzformer.desk.words import ViewerWords

NAPARI = ViewerWords(
    layer="layer",
    open_first="Open an image first: Open…, drop a file here, or try the example.",
    undo="One Ctrl+Z on its layer brings back what was there.",
    ask_seeds="'How sure?' under More asks 4 seeds",
    next_goes="N goes",
    another_row="click a row for another.",
    draw_box="'Draw a box' first, or untick 'Look closer' (both under More).",
    without_maps="untick the probability maps (under More).",
    another_name="Export… again under another name.",
)
