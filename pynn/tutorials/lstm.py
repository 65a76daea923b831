"""Regression with an LSTM on two examples, 1 -> 1 and 2 -> 2: what does it predict for 3?"""

import pynn as pn


def main(*, epochs=2000, seed=1, **_):
    """Trains for the original tutorial's 10 epochs, then for enough of them; returns (figures, history)."""
    pn.set_seed(seed)
    x = pn.tensor([[[1.0]], [[2.0]]])  # (batch, steps, features)
    y = pn.tensor([[1.0], [2.0]])

    # TensorFlow.js's gates, as in the original tutorial; with Keras's default, the smooth sigmoid, the model predicts about 2.86.
    lstm = pn.layers.LSTM(16, recurrent_activation="hard_sigmoid_keras2", unit_forget_bias=False, input_shape=(1, 1))
    model = pn.Sequential([lstm, pn.layers.Dense(1)])
    model.summary()
    model.compile(optimizer="adam", loss="mean_squared_error")

    history = model.fit(x, y, epochs=10, batch_size=2, verbose=0)
    first, last = history.history["loss"][0], history.history["loss"][-1]
    print(f"10 epochs, as in the original tutorial: loss {first:.3f} -> {last:.3f}. Ten steps with a learning rate of 0.001 are too few.")

    history = model.fit(x, y, epochs=epochs, batch_size=2, verbose=0)
    loss = history.history["loss"][-1]
    prediction = float(model.predict([[[3.0]]], verbose=0)[0, 0])
    print(f"{epochs:,} more epochs: loss {loss:.2e}, predict(3) = {prediction:.4f}")
    return {"loss": loss, "predict(3)": prediction}, history


if __name__ == "__main__":
    main()
