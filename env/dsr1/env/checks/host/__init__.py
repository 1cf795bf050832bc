"""Checks of a host apart from GPUs and adapters: limits, kernel, network, disks, software."""
