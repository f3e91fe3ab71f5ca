"""Scores what `rsmoe` said: captions and themes against references.

Captions come from the runtime, never from torch.
"""
