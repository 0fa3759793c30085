"""napari's side of the desk: masks, stage, clock, dialogs."""
