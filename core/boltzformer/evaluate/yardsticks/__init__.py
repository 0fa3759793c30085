"""The measures of the field, by their own rules: the same masks get the same numbers as from the official scripts."""
