"""What is under way: asked, followed, counted."""
