"""Connectors: vision features to image embeddings of the language model's width."""
