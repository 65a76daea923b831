"""Objects as parts of keys."""

from __future__ import annotations

from typing import Any


class Same:
    """An object as part of a key: equal to itself alone, and alive as long as the key, so that its identity stays its own."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other) -> bool:
        return isinstance(other, Same) and self.value is other.value
