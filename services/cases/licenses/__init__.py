"""E-licenses that meet materials: copies and uses."""
