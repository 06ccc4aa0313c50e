"""What every service has in common: one idea per module, named for it."""
