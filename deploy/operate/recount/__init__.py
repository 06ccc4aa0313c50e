"""`tongban recount`: what services keep of each other's facts, against the owners' own tables."""
