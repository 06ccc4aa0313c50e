"""Working days of the city, as data."""
