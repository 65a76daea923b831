"""Models: layers combined, trained and used."""

from typing import TYPE_CHECKING

from pynn.errors import absent
from pynn.models.functional import Functional
from pynn.models.model import Model
from pynn.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]

if not TYPE_CHECKING:  # for which every name would be there
    __getattr__ = absent(__name__, __all__)
