"""GPUs and RDMA ports of this host while it serves: read now and then, never judged."""
