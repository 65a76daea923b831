"""Handwritten digits with a dense network: two layers, plain gradient descent.

Well-known tutorials call this network a CNN, though it has no convolution; `cnn.py` is a convolutional network.
"""

import pynn as pn


def main(*, data=None, full=False, epochs=10, batch_size=32, seed=1):
    """Trains the network and returns (figures, history)."""
    pn.set_seed(seed)
    (x_train, y_train), (x_test, y_test) = pn.datasets.mnist.load(full=full, data_dir=data)
    x_train, x_test = x_train / 255.0, x_test / 255.0
    y_train, y_test = pn.one_hot(y_train, 10), pn.one_hot(y_test, 10)

    model = pn.Sequential([
        pn.layers.Flatten(input_shape=(28, 28)),
        pn.layers.Dense(128, activation="relu"),
        pn.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.summary()
    model.compile(optimizer=pn.optimizers.SGD(0.01), loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=epochs, batch_size=batch_size)

    loss, accuracy = model.evaluate(x_test, y_test, batch_size=1000)
    print(f"Test images: {len(x_test):,}  loss {loss:.4f}  accuracy {accuracy:.4f}")
    return {"test accuracy": accuracy, "test loss": loss}, history


if __name__ == "__main__":
    main()
