"""What `fit`, `evaluate` and `predict` take as data, brought to one form."""


def __getattr__(name: str):
    raise AttributeError(
        f"module 'pynn.data' has no attribute {name!r}. Arrays, generators and objects with __len__ and __getitem__ can be passed to fit "
        "directly; pn.datasets.mnist.load() has MNIST."
    )
