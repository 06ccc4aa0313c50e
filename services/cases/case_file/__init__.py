"""The case itself: its state, clocks, materials, timeline, and how it is shown."""
