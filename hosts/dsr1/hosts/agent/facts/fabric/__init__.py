"""PCI, RDMA adapters and network interfaces."""
