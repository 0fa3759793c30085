"""The dock "Segment by text", part by part."""
