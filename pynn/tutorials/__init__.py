"""The tutorials: five short programs that train real models. Run them with `pynn tutorials`, or read and copy them."""

NAMES = ("dense", "cnn", "gradient-descent", "gru", "lstm")
