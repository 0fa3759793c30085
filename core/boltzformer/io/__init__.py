"""Image files ↔ `Volume` and `LabelMap`. Nobody else opens images."""

from boltzformer.io.files import READABLE, SUFFIXES, read, slug, suffix_of, write, write_json

__all__ = ["READABLE", "SUFFIXES", "read", "slug", "suffix_of", "write", "write_json"]
