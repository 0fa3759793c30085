"""Where voxels lie and what they are worth: grids, windows, slices, regions."""
