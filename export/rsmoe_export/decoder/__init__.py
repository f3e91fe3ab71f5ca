"""Decoder graphs of the Llama family over an in-place KV cache."""
