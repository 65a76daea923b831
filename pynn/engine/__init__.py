"""Tensors, op records, the tape: everything that ops stand on."""
