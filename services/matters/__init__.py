"""matters — 事项: the catalogue of what government does."""
