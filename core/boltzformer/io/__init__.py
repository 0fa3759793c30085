"""Image files ↔ `Volume` and `LabelMap`. Nobody else opens images."""

from boltzformer.io.files import READABLE, SUFFIXES, check_targets, read, slug, suffix_of, write, write_json

__all__ = ["READABLE", "SUFFIXES", "check_targets", "read", "slug", "suffix_of", "write", "write_json"]
