"""The rating itself: grades, tags, channels, and how it is stored."""
