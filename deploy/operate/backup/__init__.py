"""Backup, restore and drill: `tongban backup | restore | drill`."""
