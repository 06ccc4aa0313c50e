"""The working calendar of the city, its changes, and how due dates of open cases follow."""
