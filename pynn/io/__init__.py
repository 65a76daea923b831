"""Files: models, checkpoints and weights. Reading any of them runs no code and opens no other file."""
