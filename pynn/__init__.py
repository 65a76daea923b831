"""pynn: train small and medium neural networks on CPUs, at the speed of the hardware."""

from pynn import ops
from pynn.config import backend, num_threads, set_num_threads, show_config
from pynn.engine.tensor import Tensor, stop_gradient, tensor
from pynn.engine.variable import Variable
from pynn.gradients import custom_grad, grad, grads, value_and_grad, value_and_grads, variable_grads
from pynn.ops import *  # noqa: F403

__version__ = "0.1.0"
