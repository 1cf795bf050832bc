"""The host's side of a fetch from a model hub, with the huggingface_hub of the runtime."""
