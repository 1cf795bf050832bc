"""The argv of each kind of process: vLLM and Dynamo workers, frontends, etcd."""
