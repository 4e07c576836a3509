"""Archives of plain values, written and read without pickle."""

__all__: list[str] = []
