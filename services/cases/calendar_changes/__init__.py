"""Changes of the calendar, and how due dates of open cases follow."""
