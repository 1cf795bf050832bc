"""GPUs: their driver, NVML, and the errors that the kernel logged."""
