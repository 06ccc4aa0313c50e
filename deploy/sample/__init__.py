"""A small catalogue of Lhasa, written from general knowledge, for trying out; units are made up."""
