"""What the service can do: one function per verb, one file per resource."""
