"""The project's own code as data: its files, its names, and its types as annotations tell them."""
