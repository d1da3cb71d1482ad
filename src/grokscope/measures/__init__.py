"""Measures: pure mathematics on tensors, wrapped as named functions of a snapshot."""
