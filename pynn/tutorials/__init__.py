"""The tutorials: five short programs, each of which trains a model. Run them with `pynn tutorials`, or read and copy them."""

NAMES = ("dense", "cnn", "gradient-descent", "gru", "lstm")
