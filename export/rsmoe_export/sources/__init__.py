"""Where weights come from: Hugging Face directories, GGUF files, torch pickles, and random numbers."""
