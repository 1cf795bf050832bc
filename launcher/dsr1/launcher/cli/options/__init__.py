"""Options that several verbs share, which look and mean the same in all of them."""
