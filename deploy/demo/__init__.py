"""The whole story played against a running platform, over REST alone, with every figure checked."""
