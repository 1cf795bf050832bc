"""What node preparation would change, decided from what was probe; pure."""
