"""Which version this is: the one place in the code that says so (a test holds it against pyproject.toml)."""

VERSION = "0.1.0"
