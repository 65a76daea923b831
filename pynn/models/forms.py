"""The form in which a model takes its inputs and gives its outputs: one tensor, a list of them, or a dict by name."""

from __future__ import annotations

from typing import Any

from pynn.layers.structure import flatten


def keys_of(value: Any) -> tuple[str, ...] | None:
    """The keys of a dict with one tensor for each; None for anything else."""
    return tuple(value) if isinstance(value, dict) and not any(isinstance(v, (list, tuple, dict)) for v in value.values()) else None


class Forms:
    """The keys of the dicts that a model takes and gives; None where it has to do with one tensor, or with a list.

    The keys of outputs are those that its calls gave last. Those of inputs are the last data's, and concern only a model without names
    for them: its `call` gets such a dict.
    """

    def __init__(self) -> None:
        self.input_keys: tuple[str, ...] | None = None
        self.output_keys: tuple[str, ...] | None = None

    def take_inputs(self, x: Any) -> None:
        """Notes the form of data."""
        self.input_keys = tuple(x) if isinstance(x, dict) else None

    def take_outputs(self, value: Any) -> list:
        """Notes the form of what a call gave. Returns the tensors."""
        self.output_keys = keys_of(value)
        return flatten(value)

    def inputs(self, leaves: list):
        """The leaves in the form in which `call` takes them."""
        return _formed(self.input_keys, leaves)

    def outputs(self, leaves: list):
        """The leaves in the form in which `call` gives them."""
        return _formed(self.output_keys, leaves)


def _formed(keys: tuple[str, ...] | None, leaves: list):
    if keys is not None:
        return dict(zip(keys, leaves, strict=True))
    return leaves[0] if len(leaves) == 1 else leaves
