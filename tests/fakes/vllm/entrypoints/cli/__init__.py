"""In the place of vLLM."""
