"""What a quantized variant may know about the numbers that flow through the decoder: statistics over a sample."""
