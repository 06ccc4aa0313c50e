"""What the commands of `deploy` raise when the user can mend the cause."""


class DeployError(RuntimeError):
    """A command cannot go on; the text says what to do."""
