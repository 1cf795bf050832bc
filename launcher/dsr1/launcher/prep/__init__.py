"""What would make hosts fit, shown and done."""
