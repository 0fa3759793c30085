"""What the desk knows of masks."""
