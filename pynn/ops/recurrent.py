"""Recurrent layers over whole sequences, one op for all steps: LSTM, GRU and the fully connected recurrence."""

from __future__ import annotations

from pynn.ops.recurrent_gru import gru
from pynn.ops.recurrent_lstm import lstm
from pynn.ops.recurrent_simple import simple_rnn

__all__ = ["gru", "lstm", "simple_rnn"]
