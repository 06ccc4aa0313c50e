"""What no tool off the shelf holds: `python -m deploy.checks`."""
