"""The loop of a bad rating: call back, rectify, tell the rater; appeals."""
