"""The image and the compose file, tried on a real container engine."""
