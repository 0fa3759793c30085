"""What lies below the canvas."""
