"""Capture, fusion, planning and replay of programs."""
