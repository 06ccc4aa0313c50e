"""A whole day on a running platform, over REST alone, with every figure checked."""
