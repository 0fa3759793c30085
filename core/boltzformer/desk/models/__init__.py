"""Which model answers, and what it knows."""
