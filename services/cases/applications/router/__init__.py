"""HTTP endpoints of applications."""
