"""The regional platform: ledger, pushes, reconciliation."""
