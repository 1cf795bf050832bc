"""What a round of a drill ends with when something doesn't hold."""


class Broken(Exception):
    """Something that must hold doesn't."""
