"""licenses — 电子证照: issued, shared, checked."""
