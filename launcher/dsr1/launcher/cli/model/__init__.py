"""`dsr1 model`: the model's files on hosts."""
