"""Files: weights, models, and the safe parsers under them."""
