"""What a deployment does while it serves: read with the looks at its health, kept, and made
sense of."""
