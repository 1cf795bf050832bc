"""What a manifest says that bare metal has no use for, or that dsr1 finds out by itself: by name,
with the reason."""

from collections.abc import Mapping

from dsr1.env.caches import FOLDERS as CACHE_FOLDERS

_OWN = "dsr1 gives every run its own"
_FACTS = "dsr1 takes it from the facts of each host; a value here would win over them"
_SCHEDULER = "Kubernetes places pods by it; dsr1 takes the hosts that you name (--hosts)"
_POD = "of the pod; there is none on bare metal"
_RESTART = "Kubernetes restarts by it; dsr1 watches the processes themselves (restart)"
_HOST = "limits of a container; a process has the whole host, which dsr1 check judges"
_OBJECT = "labels an object of Kubernetes"
_SCALING = "dsr1 starts what the recipe says and does not scale by itself"
_IMAGE = "hosts bring their own vLLM and Dynamo (runtime.venv or --venv)"
_VOLUME = "a volume of Kubernetes; hosts need the folder themselves"
_OF_NATS = (
    "of KV events in NATS, which Dynamo no longer keeps there; every run begins with an empty"
    " router"
)
_CACHES = "dsr1 gives JIT caches a folder on each host (runtime.cache_dir)"
_CLUSTER = "the cluster's own record, not a wish"

KEYS: Mapping[str, str] = {
    # The object
    "labels": _OBJECT,
    "annotations": _OBJECT,
    "namespace": "dsr1 has no namespaces of Kubernetes",
    "status": _CLUSTER,
    **dict.fromkeys(
        ("creationTimestamp", "generation", "resourceVersion", "uid", "managedFields"), _CLUSTER
    ),
    **dict.fromkeys(("ownerReferences", "finalizers", "selfLink", "generateName"), _CLUSTER),
    # The deployment and its services
    "pvcs": _VOLUME,
    **dict.fromkeys(("dynamoNamespace", "globalDynamoNamespace"), f"{_OWN} namespace in Dynamo"),
    **dict.fromkeys(("autoscaling", "scalingAdapter", "minAvailable", "componentGroups"), _SCALING),
    **dict.fromkeys(
        ("ingress", "ports", "hostPorts"),
        "ports are opened on the host itself (frontend.port, ports.base)",
    ),
    **dict.fromkeys(
        ("restart", "restartPolicy", "livenessProbe", "readinessProbe", "lifecycle"), _RESTART
    ),
    **dict.fromkeys(
        ("topologyConstraint", "providerOverride", "roles", "placement", "device"), _SCHEDULER
    ),
    **dict.fromkeys(("extraPodMetadata", "metadata"), _OBJECT),
    "serviceName": "a name of Kubernetes",
    "modelRef": "for a headless service of Kubernetes",
    "eppConfig": "for the gateway's endpoint picker; dsr1's frontend routes (frontend.router_mode)",
    "kvTransferPolicy": (
        "for the gateway's endpoint picker; dsr1's frontend routes (frontend.router_mode)"
    ),
    **dict.fromkeys(
        ("runtimeVersionOverride", "image", "imagePullPolicy", "imagePullSecrets"), _IMAGE
    ),
    **dict.fromkeys(
        ("gpuMemoryService", "failover", "checkpoint", "experimental"), "dsr1 has no such service"
    ),
    **dict.fromkeys(("compilationCache", "useAsCompilationCache"), _CACHES),
    **dict.fromkeys(
        ("frontendSidecar", "dynamoSidecar"),
        "dsr1 runs no sidecars; the frontend is a process of its own",
    ),
    # The pod
    **dict.fromkeys(("volumes", "volumeMounts", "volumeDevices", "volumeClaimTemplates"), _VOLUME),
    **dict.fromkeys(
        ("affinity", "tolerations", "nodeSelector", "nodeName", "schedulerName"), _SCHEDULER
    ),
    **dict.fromkeys(
        ("priorityClassName", "priority", "preemptionPolicy", "runtimeClassName"), _SCHEDULER
    ),
    **dict.fromkeys(
        ("topologySpreadConstraints", "schedulingGates", "overhead", "resourceClaims"), _SCHEDULER
    ),
    **dict.fromkeys(("serviceAccountName", "serviceAccount", "automountServiceAccountToken"), _POD),
    **dict.fromkeys(
        ("hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"), _POD
    ),
    **dict.fromkeys(
        ("dnsPolicy", "dnsConfig", "hostAliases", "hostname", "subdomain", "enableServiceLinks"),
        _POD,
    ),
    **dict.fromkeys(
        ("workingDir", "tty", "stdin", "stdinOnce"),
        "of the container; dsr1 runs in the run's folder",
    ),
    **dict.fromkeys(
        ("terminationMessagePath", "terminationMessagePolicy", "activeDeadlineSeconds"), _POD
    ),
    "securityContext": (
        "rights of a container; dsr1 check tells whether the host lets RDMA pin memory"
        " (sys.memlock)"
    ),
    "containers": "dsr1 runs no sidecars; start them on the hosts yourself if they are needed",
    "initContainers": (
        "ran before the worker; do on the hosts what they did (dsr1 model fetch brings a model)"
    ),
    # Resources
    **dict.fromkeys(
        ("cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "hugepages-1Gi", "requests"), _HOST
    ),
    **dict.fromkeys(
        ("custom", "rdma/ib", "rdma/hca_shared_devices_a", "rdma/hca", "claims", "gpuType"), _HOST
    ),
    "resources": _HOST,
    # Probes
    "startupProbe": (
        "its times are timeouts.ready; dsr1 asks every process by itself whether it serves"
    ),
}
"""By the name of a key, wherever it stands; a value takes the reason of the nearest key around
it."""

KINDS: Mapping[str, str] = {
    "Job": "dsr1 runs no jobs; dsr1 model fetch brings a model to the hosts",
    "PersistentVolumeClaim": _VOLUME,
    "PersistentVolume": _VOLUME,
    "ConfigMap": "kept only where a variable takes its value from it",
    "Secret": "secrets are not copied into a recipe",
    "Service": "the frontend listens on its host (frontend.host, frontend.port)",
    "Namespace": "dsr1 has no namespaces of Kubernetes",
}
"""Documents beside the deployment, by their kind."""

VARIABLES: Mapping[str, str] = {
    **dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME"), _FACTS),
    **dict.fromkeys(
        ("NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME", "UCX_NET_DEVICES", "NCCL_IB_HCA"), _FACTS
    ),
    **dict.fromkeys(("NVSHMEM_HCA_LIST", "NVSHMEM_HCA_PREFIX", "NVSHMEM_HCA_PE_MAPPING"), _FACTS),
    **dict.fromkeys(("NCCL_IB_GID_INDEX", "NVSHMEM_IB_GID_INDEX", "UCX_IB_GID_INDEX"), _FACTS),
    **dict.fromkeys(("VLLM_HOST_IP", "HOST_IP", "POD_IP", "VLLM_NIXL_SIDE_CHANNEL_HOST"), _FACTS),
    **dict.fromkeys(
        ("VLLM_NIXL_SIDE_CHANNEL_PORT", "VLLM_PORT", "DYN_SYSTEM_PORT", "DYN_SYSTEM_HOST"), _OWN
    ),
    **dict.fromkeys(
        ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"), "dsr1 deals the GPUs of each host"
    ),
    **dict.fromkeys(
        ("NVIDIA_GDRCOPY", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_REQUIRE_CUDA"),
        "for the container runtime; on bare metal dsr1 check looks for the module itself",
    ),
    **dict.fromkeys(
        ("DYN_NAMESPACE", "DYN_COMPONENT", "DYN_ENDPOINT"), f"{_OWN} namespace in Dynamo"
    ),
    **dict.fromkeys(
        ("DYN_DISCOVERY_BACKEND", "DYN_FILE_KV", "ETCD_ENDPOINTS", "NATS_SERVER"),
        f"{_OWN} discovery",
    ),
    **dict.fromkeys(
        ("DYN_REQUEST_PLANE", "DYN_EVENT_PLANE", "DYN_TCP_RPC_HOST"), "dsr1 sets Dynamo's planes"
    ),
    **dict.fromkeys(
        ("DYN_TCP_RESPONSE_STREAM_HOST", "DYN_EVENT_PLANE_HOST", "DYN_HTTP_HOST"), _FACTS
    ),
    **dict.fromkeys(
        ("DYN_PARENT_DGD_K8S_NAME", "DYN_PARENT_DGD_K8S_NAMESPACE", "DYNAMO_PORT"), _POD
    ),
    **dict.fromkeys(("DYN_ROUTER_RESET_STATES", "DYN_ROUTER_SNAPSHOT_THRESHOLD"), _OF_NATS),
    **dict.fromkeys(("DYN_ROUTER_DURABLE_KV_EVENTS", "DYN_DURABLE_KV_EVENTS"), _OF_NATS),
    **dict.fromkeys(CACHE_FOLDERS, _CACHES),
    **dict.fromkeys(("POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME"), _POD),
}
"""Variables that dsr1 sets, or that only a container has."""

FLAGS: Mapping[str, str] = {
    **dict.fromkeys(
        ("data-parallel-address", "data-parallel-rpc-port", "data-parallel-start-rank"), _OWN
    ),
    **dict.fromkeys(("nnodes", "node-rank", "master-addr", "master-port"), _OWN),
    **dict.fromkeys(
        ("data-parallel-backend", "distributed-executor-backend"),
        "dsr1 starts every rank itself, without Ray",
    ),
    **dict.fromkeys(
        ("namespace", "endpoint", "discovery-backend", "request-plane", "event-plane"), _OWN
    ),
    **dict.fromkeys(("namespace-prefix", "router-replica-sync"), _OWN),
    **dict.fromkeys(("router-reset-states", "router-snapshot-threshold"), _OF_NATS),
    **dict.fromkeys(("durable-kv-events", "router-durable-kv-events"), _OF_NATS),
    "hf-token": "a secret, which is not copied into a recipe; set HF_TOKEN on the hosts",
}
"""Flags that dsr1 places itself."""
