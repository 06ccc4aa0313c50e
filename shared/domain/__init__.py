"""Rules of the field that several services need."""
