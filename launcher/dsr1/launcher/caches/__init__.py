"""What a start compiled on hosts: kept here, and given to hosts that lack it."""
