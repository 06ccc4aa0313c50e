"""HTTP endpoints of handling."""
