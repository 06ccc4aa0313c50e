"""Giving a rating: what is offered, checked and stored."""
