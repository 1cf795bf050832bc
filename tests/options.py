"""Options of dsr1 that tests of several kinds give."""

# Of a random model two tokens are often about as likely: in float32 all ranks choose the same.
REAL = ("--set", "engines.main.args={dtype: float32}")
