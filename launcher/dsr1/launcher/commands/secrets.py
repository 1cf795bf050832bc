"""File names of a run's secrets, for those that name them without making them."""

CA, CERT, KEY = "ca.pem", "tls.pem", "tls.key"
SERVER_NAME = "dsr1-run"
FRONTEND_KEY, API_KEY = "frontend.key", "api-key"
SECRETS_FOLDER = "secrets"
"""In the folder that every process of the run stands in."""
