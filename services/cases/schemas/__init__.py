"""Commands and answers of cases, a file for each resource."""
