"""Models: layers put together, trained and used."""

from pynn.models import fit, inference
from pynn.models.arguments import described_by
from pynn.models.functional import Functional
from pynn.models.model import Model
from pynn.models.sequential import Sequential

described_by(fit.fit, Model.fit)
described_by(inference.evaluate, Model.evaluate)
described_by(inference.predict, Model.predict)

__all__ = ["Functional", "Model", "Sequential"]
