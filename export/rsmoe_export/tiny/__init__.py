"""Tiny packages with random weights that exercise every path of the runtime; tests/packages/ holds what is built
here.
"""
