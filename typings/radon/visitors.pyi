class Function:
    name: str
    lineno: int
    is_method: bool
    classname: str | None
    complexity: int

class Class:
    name: str
    lineno: int

    @property
    def complexity(self) -> int: ...
