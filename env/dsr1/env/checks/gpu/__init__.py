"""Checks of GPUs: each by NVML's values, all of a host together, and NVLink between them."""
