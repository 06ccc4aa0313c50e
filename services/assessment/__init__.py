"""assessment — 督办与考核: daily figures as a read model; it owns no other service's truth."""
