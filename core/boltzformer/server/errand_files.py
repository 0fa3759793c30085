"""Where an errand writes what, in a folder within its own."""

PLACE = "errand"
LOCK, PID, LINES, SAID, ENDED, ASKED = "lock", "pid", "lines.jsonl", "said.txt", "ended.json", "asked.json"
STOPPED = 143
"""Exit code of one that was asked to stop before it could keep anything."""
