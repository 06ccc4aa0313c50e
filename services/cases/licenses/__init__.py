"""E-licences that meet materials: copies and uses."""
