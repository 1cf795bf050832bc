"""Why something failed, in the system's own words."""


def reason_of(error: BaseException) -> str:
    """Of an OSError its reason alone: the file or address is named beside it. Never empty."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
