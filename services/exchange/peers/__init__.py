"""Peers: who exchanges data with the platform, with which keys and rights."""
