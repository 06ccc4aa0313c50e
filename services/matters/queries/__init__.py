"""Every SELECT of matters, one file per resource."""
