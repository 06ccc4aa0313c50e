"""A small catalogue of Lhasa, written from general knowledge, for first contact; its units are made up."""
