"""How facts are read: files of the kernel, and children with a time limit."""
