"""Events between services: bus, outbox, inbox, dead letters."""
