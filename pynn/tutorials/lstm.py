"""Regression with an LSTM on the smallest of data sets: 1 becomes 1, 2 becomes 2. What becomes of 3?"""

import pynn as pn


def main(*, epochs=2000, seed=1, **_):
    """Trains for the tutorial's 10 epochs, then for enough of them; returns (figures, history)."""
    pn.set_seed(seed)
    x = pn.tensor([[[1.0]], [[2.0]]])  # (batch, steps, features)
    y = pn.tensor([[1.0], [2.0]])

    # TensorFlow.js's gates, as the tutorial has them; Keras's default, the smooth sigmoid, bends earlier (it predicts about 2.86).
    lstm = pn.layers.LSTM(16, recurrent_activation="hard_sigmoid_keras2", unit_forget_bias=False, input_shape=(1, 1))
    model = pn.Sequential([lstm, pn.layers.Dense(1)])
    model.summary()
    model.compile(optimizer="adam", loss="mean_squared_error")

    history = model.fit(x, y, epochs=10, batch_size=2, verbose=0)
    first, last = history.history["loss"][0], history.history["loss"][-1]
    print(f"10 epochs, as the tutorial has it: loss {first:.3f} -> {last:.3f}. Ten steps of 0.001 train nothing yet.")

    history = model.fit(x, y, epochs=epochs, batch_size=2, verbose=0)
    loss = history.history["loss"][-1]
    prediction = float(model.predict([[[3.0]]], verbose=0)[0, 0])
    print(f"{epochs:,} epochs more: loss {loss:.2e}, predict(3) = {prediction:.4f}")
    return {"loss": loss, "predict(3)": prediction}, history


if __name__ == "__main__":
    main()
