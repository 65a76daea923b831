"""Linear regression by gradient descent on tensors, with a cost and its gradients but no layers and no optimizer."""

import pynn as pn

x = pn.tensor([[1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0], [3.0, 4.0, 5.0, 6.0], [4.0, 5.0, 6.0, 7.0]])
y = pn.tensor([[2.0], [4.0], [6.0], [8.0]])
x_test = pn.tensor([[5.0, 6.0, 7.0, 8.0], [6.0, 7.0, 8.0, 9.0], [7.0, 8.0, 9.0, 10.0], [8.0, 9.0, 10.0, 11.0]])


def cost(w, b):
    """Mean squared error of the line."""
    return ((x @ w + b - y) ** 2).mean()


def train(rate, steps):
    """Gradient descent from zeros; prints every tenth step."""
    w, b = pn.Variable(pn.zeros((4, 1))), pn.Variable(0.0)

    @pn.function
    def step(rate):
        value, (dw, db) = pn.value_and_grads(cost)(w, b)
        w.assign(w - rate * dw)
        b.assign(b - rate * db)
        return value

    costs = []
    for i in range(steps):
        costs.append(float(step(rate)))
        if i < 3 or i % 10 == 9:
            print(f"  step {i:3d}  cost {costs[-1]:.5g}")
    return w, b, costs


def main(*, epochs=100, **_):
    """Shows that the original tutorial's rate diverges, then trains at a rate that works; returns (figures, history)."""
    dw, db = pn.grads(cost)(pn.zeros((4, 1)), 0.0)
    print(f"First gradients: dw = {dw.reshape(4).tolist()}, db = {float(db):g}")

    print("Learning rate 0.1, as in the original tutorial: each step overshoots and the cost grows (the limit is about 0.0133).")
    train(0.1, 10)
    layer = pn.Sequential([pn.layers.Dense(1, kernel_initializer="zeros", input_shape=(4,))])
    layer.compile(optimizer=pn.optimizers.SGD(0.1), loss="mean_squared_error")
    try:
        layer.fit(x, y, epochs=100, batch_size=4, shuffle=False, verbose=0)
    except pn.NonFiniteError as error:
        print(f"fit stops with: {error}")

    print("Learning rate 0.01:")
    w, b, costs = train(0.01, epochs)
    print(f"w = [{', '.join(f'{v:.5f}' for v in w.numpy().ravel())}], b = {float(b):.5f}")
    print(f"Predictions {', '.join(f'{v:.3f}' for v in (x_test @ w + b).numpy().ravel())} for 10, 12, 14, 16")
    return {"cost at the last step": costs[-1]}, {"cost": costs}


if __name__ == "__main__":
    main()
