"""Handwritten digits with a convolutional network: two convolutions, pooling, dropout, Adam."""

import pynn as pn


def main(*, data=None, full=False, epochs=10, batch_size=128, seed=1):
    """Trains the network and returns (figures, history)."""
    pn.set_seed(seed)
    (x_train, y_train), (x_test, y_test) = pn.datasets.mnist.load(full=full, data_dir=data)
    x_train, x_test = x_train[..., None] / 255.0, x_test[..., None] / 255.0

    model = pn.Sequential([
        pn.layers.Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)),
        pn.layers.MaxPooling2D(2),
        pn.layers.Conv2D(64, 3, activation="relu"),
        pn.layers.MaxPooling2D(2),
        pn.layers.Flatten(),
        pn.layers.Dropout(0.5),
        pn.layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.summary()
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=epochs, batch_size=batch_size)

    loss, accuracy = model.evaluate(x_test, y_test, batch_size=1000)
    print(f"Test images: {len(x_test):,}  loss {loss:.4f}  accuracy {accuracy:.4f}")
    return {"test accuracy": accuracy, "test loss": loss}, history


if __name__ == "__main__":
    main()
