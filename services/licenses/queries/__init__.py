"""Every SELECT, one file per resource."""
