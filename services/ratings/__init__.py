"""ratings — 好差评: the citizen's judgement, and what it changes."""
