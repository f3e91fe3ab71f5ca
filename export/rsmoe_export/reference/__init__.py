"""An independent implementation in float64 numpy, against which every graph is checked."""
