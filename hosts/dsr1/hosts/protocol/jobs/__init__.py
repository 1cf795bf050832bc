"""Long jobs on hosts: what each is ordered and gives back, and how that travels."""
