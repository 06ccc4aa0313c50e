"""Commands and answers of applications."""
