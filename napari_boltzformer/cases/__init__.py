"""The case list."""
