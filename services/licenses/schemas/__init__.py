"""Commands and answers, one file per resource."""
