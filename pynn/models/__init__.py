"""Models: layers combined, trained and used."""

from typing import TYPE_CHECKING

from pynn.models.functional import Functional
from pynn.models.model import Model
from pynn.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]


if not TYPE_CHECKING:  # for which every name would be there

    def __getattr__(name: str):
        from pynn.elsewhere import no_attribute

        raise no_attribute(__name__, name, __all__)
