"""The operator's commands, `tongban …`, one module each."""
