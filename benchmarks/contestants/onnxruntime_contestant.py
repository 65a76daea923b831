"""onnxruntime: inference of the models and the forward kernels. It doesn't train."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from protocol import Case, normal, options, run
from workloads import Conv, Infer, MatMul, MaxPool, Recurrent

GIVEN = options()


def session(nodes, inputs, weights):
    """A session whose only output is `y`; nodes are (operator, inputs, outputs, attributes)."""
    graph = helper.make_graph(
        [helper.make_node(kind, takes, gives, **attributes) for kind, takes, gives, attributes in nodes], "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = GIVEN.threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), chosen, providers=["CPUExecutionProvider"])


def small(*shape):
    return normal(*shape) * np.float32(0.1)


def call(nodes, shape, weights, op="", variant="session"):
    """The model as a session, called with an array, and with input and output bound to it before."""
    x = normal(*shape)

    def start():
        ready = session(nodes, {"x": shape}, weights)
        return lambda: ready.run(None, {"x": x})

    def start_bound():
        ready = session(nodes, {"x": shape}, weights)
        binding = ready.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y")

        def bound():
            ready.run_with_iobinding(binding)
            return binding.copy_outputs_to_cpu()

        return bound

    yield Case(variant, start, op)
    yield Case(f"{variant}_bound", start_bound, op)


def infer(row):
    flat = {"mlp": row.units, "cnn": 1600, "gru": row.units}[row.model]
    weights = {"dense": small(flat, 10), "dense_bias": small(10)}
    if row.model == "mlp":
        shape = (row.batch, 784)
        nodes = [("Gemm", ["x", "w1", "b1"], ["a"], {}), ("Relu", ["a"], ["features"], {})]
        weights |= {"w1": small(784, row.units), "b1": small(row.units)}
    elif row.model == "cnn":
        shape, pool = (row.batch, 1, 28, 28), {"kernel_shape": [2, 2], "strides": [2, 2]}
        nodes = [("Conv", ["x", "w1", "b1"], ["a"], {}), ("Relu", ["a"], ["b"], {}), ("MaxPool", ["b"], ["c"], pool),
                 ("Conv", ["c", "w2", "b2"], ["d"], {}), ("Relu", ["d"], ["e"], {}), ("MaxPool", ["e"], ["g"], pool),
                 ("Flatten", ["g"], ["features"], {})]  # fmt: skip
        weights |= {"w1": small(32, 1, 3, 3), "b1": small(32), "w2": small(64, 32, 3, 3), "b2": small(64)}
    else:
        shape, gates = (row.steps, row.batch, 28), 3 * row.units  # time first, as onnxruntime wants it
        nodes = [("GRU", ["x", "w", "u", "b"], ["", "h"], {"hidden_size": row.units, "linear_before_reset": 1}),
                 ("Squeeze", ["h", "axis"], ["features"], {})]  # fmt: skip
        weights |= {"w": small(1, gates, 28), "u": small(1, gates, row.units), "b": small(1, 2 * gates), "axis": np.array([0])}
    yield from call([*nodes, ("Gemm", ["features", "dense", "dense_bias"], ["z"], {}), ("Softmax", ["z"], ["y"], {})], shape, weights)


def matmul(row):
    yield from call([("MatMul", ["x", "b"], ["y"], {})], (row.m, row.k), {"b": normal(row.k, row.n)}, "nn", "constant_b")


def conv(row):
    groups, pad = (row.in_channels if row.depthwise else 1), (row.kernel // 2 if row.padding == "same" else 0)
    attributes = {"strides": [row.stride] * 2, "pads": [pad] * 4, "group": groups}
    weights = {"w": normal(row.filters, row.in_channels // groups, row.kernel, row.kernel)}
    yield from call([("Conv", ["x", "w"], ["y"], attributes)], (row.batch, row.in_channels, row.size, row.size), weights, "fwd")


def recurrent(row):
    gates = (4 if row.cell == "lstm" else 3) * row.units
    attributes = {"hidden_size": row.units, **({} if row.cell == "lstm" else {"linear_before_reset": 1})}
    weights = {"w": small(1, gates, row.inputs), "u": small(1, gates, row.units), "b": small(1, 2 * gates)}
    yield from call([(row.cell.upper(), ["x", "w", "u", "b"], ["y"], attributes)], (row.steps, row.batch, row.inputs), weights, "fwd")


def max_pool(row):
    pool = ("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2]})
    yield from call([pool], (row.batch, row.channels, row.size, row.size), {}, "fwd")


KINDS = {Infer: infer, MatMul: matmul, Conv: conv, Recurrent: recurrent, MaxPool: max_pool}


if __name__ == "__main__":
    run(KINDS, {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__})
