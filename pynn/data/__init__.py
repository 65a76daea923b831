"""What `fit`, `evaluate` and `predict` take as data, brought to one form."""
