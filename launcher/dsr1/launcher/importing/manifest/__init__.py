"""Documents of Kubernetes, read so that nothing in them is dropped in silence."""
