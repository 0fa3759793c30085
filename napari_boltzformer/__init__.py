"""BoltzFormer in napari: type what you look for, see masks arrive slice by slice. Not for clinical use."""
