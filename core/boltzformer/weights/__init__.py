"""Models as files: one checkpoint format, names, the hub, conversion, parity with the reference."""
