"""What somebody wants changed of a deployment that serves, carried out."""
