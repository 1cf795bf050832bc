"""How every rank of a deployment that serves is: what it shows and answers, judged."""
