"""Models: layers combined, trained and used."""

from pynn.models.functional import Functional
from pynn.models.model import Model
from pynn.models.sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]
