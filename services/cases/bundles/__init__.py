"""One-thing applications (一件事)."""
