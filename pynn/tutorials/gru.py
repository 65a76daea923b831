"""Handwritten digits read row by row: a GRU sees the 28 rows of an image as a sequence."""

import pynn as pn


def main(*, data=None, full=False, epochs=10, batch_size=32, seed=1):
    """Trains the network and returns (figures, history)."""
    pn.set_seed(seed)
    (x_train, y_train), (x_test, y_test) = pn.datasets.mnist.load(full=full, data_dir=data)
    x_train, x_test = x_train / 255.0, x_test / 255.0

    model = pn.Sequential([pn.layers.GRU(64, input_shape=(28, 28)), pn.layers.Dense(10, activation="softmax")])
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=epochs, batch_size=batch_size)

    loss, accuracy = model.evaluate(x_test, y_test, batch_size=1000)
    print(f"Test images: {len(x_test):,}  loss {loss:.4f}  accuracy {accuracy:.4f}")
    return {"test accuracy": accuracy, "test loss": loss}, history


if __name__ == "__main__":
    main()
