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
_PORTS = "ports are opened on the host itself (frontend.port, ports.base)"
_PICKER = "for the gateway's endpoint picker; dsr1's frontend routes (frontend.router_mode)"
_NATS = (
    "of KV events in NATS, which Dynamo no longer keeps there; every run begins with an empty"
    " router"
)
_CACHES = "dsr1 gives JIT caches a folder on each host (runtime.cache_dir)"
_CLUSTER = "the cluster's own record, not a request"
_SIDECAR = "dsr1 runs no sidecars; the frontend is a process of its own"
_PATHS = "a path of the container's image; every host has its own"
_ELASTIC = (
    "vLLM resizes engines with Ray, or where none balances load over nodes; dsr1 starts what the"
    " recipe says, and to change that starts it anew"
)
_TLS = "a file of the container; those of the machine that launches are frontend.tls: {cert, key}"
_NAMESPACES = "dsr1 has no namespaces of Kubernetes"


def _by_name(reasons: Mapping[str, str]) -> dict[str, str]:
    """Of reasons for several names each, which stand with blanks between them."""
    return {name: reason for names, reason in reasons.items() for name in names.split()}


KEYS: Mapping[str, str] = _by_name(
    {
        # The object
        "labels annotations extraPodMetadata metadata": _OBJECT,
        "namespace": _NAMESPACES,
        "status creationTimestamp generation resourceVersion uid managedFields": _CLUSTER,
        "ownerReferences finalizers selfLink generateName": _CLUSTER,
        # The deployment and its services
        "pvcs": _VOLUME,
        "dynamoNamespace globalDynamoNamespace": f"{_OWN} namespace in Dynamo",
        "autoscaling scalingAdapter minAvailable componentGroups": _SCALING,
        "ingress ports hostPorts": _PORTS,
        "startupPolicy rolloutStrategy": "dsr1 starts all nodes of an engine at once",
        "networkConfig subGroupPolicy": _SCHEDULER,
        "restart restartPolicy livenessProbe readinessProbe lifecycle": _RESTART,
        "topologyConstraint providerOverride roles placement device": _SCHEDULER,
        "serviceName": "a name of Kubernetes",
        "modelRef": "for a headless service of Kubernetes",
        "eppConfig kvTransferPolicy": _PICKER,
        "runtimeVersionOverride image imagePullPolicy imagePullSecrets": _IMAGE,
        "gpuMemoryService failover checkpoint experimental": "dsr1 has no such service",
        "compilationCache useAsCompilationCache": _CACHES,
        "frontendSidecar dynamoSidecar": _SIDECAR,
        # The pod
        "volumes volumeMounts volumeDevices volumeClaimTemplates": _VOLUME,
        "affinity tolerations nodeSelector nodeName schedulerName": _SCHEDULER,
        "priorityClassName priority preemptionPolicy runtimeClassName": _SCHEDULER,
        "topologySpreadConstraints schedulingGates overhead resourceClaims": _SCHEDULER,
        "serviceAccountName serviceAccount automountServiceAccountToken": _POD,
        "hostNetwork hostPID hostIPC hostUsers shareProcessNamespace": _POD,
        "dnsPolicy dnsConfig hostAliases hostname subdomain enableServiceLinks": _POD,
        "workingDir tty stdin stdinOnce": "of the container; dsr1 runs in the run's folder",
        "terminationMessagePath terminationMessagePolicy activeDeadlineSeconds": _POD,
        "securityContext": (
            "rights of a container; dsr1 check tells whether the host lets RDMA pin memory"
            " (sys.memlock)"
        ),
        "containers": "dsr1 runs no sidecars; start them on the hosts yourself if they are needed",
        "initContainers": (
            "ran before the worker; do on the hosts what they did (dsr1 model fetch brings a model)"
        ),
        # Resources
        "resources cpu memory ephemeral-storage hugepages-2Mi hugepages-1Gi requests": _HOST,
        "custom rdma/ib rdma/hca_shared_devices_a rdma/hca claims gpuType": _HOST,
        # Probes
        "startupProbe": (
            "its times are timeouts.ready; dsr1 asks every process by itself whether it serves"
        ),
    }
)
"""By the name of a key, wherever it stands; a value takes the reason of the nearest key around
it."""

KINDS: Mapping[str, str] = _by_name(
    {
        "Job": "dsr1 runs no jobs; dsr1 model fetch brings a model to the hosts",
        "PersistentVolumeClaim PersistentVolume": _VOLUME,
        "ConfigMap": "kept only where a variable takes its value from it",
        "Secret": "secrets are not copied into a recipe",
        "Service": "the frontend listens on its host (frontend.host, frontend.port)",
        "Namespace": _NAMESPACES,
    }
)
"""Documents beside the deployment, by their kind."""

VARIABLES: Mapping[str, str] = _by_name(
    {
        "GLOO_SOCKET_IFNAME NCCL_SOCKET_IFNAME TP_SOCKET_IFNAME": _FACTS,
        "NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME UCX_NET_DEVICES NCCL_IB_HCA": _FACTS,
        "NVSHMEM_HCA_LIST NVSHMEM_HCA_PREFIX NVSHMEM_HCA_PE_MAPPING": _FACTS,
        "NCCL_IB_GID_INDEX NVSHMEM_IB_GID_INDEX UCX_IB_GID_INDEX": _FACTS,
        "VLLM_HOST_IP HOST_IP POD_IP VLLM_NIXL_SIDE_CHANNEL_HOST": _FACTS,
        "VLLM_NIXL_SIDE_CHANNEL_PORT VLLM_PORT DYN_SYSTEM_PORT DYN_SYSTEM_HOST": _OWN,
        "CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES": "dsr1 assigns the GPUs of each host",
        "NVIDIA_GDRCOPY NVIDIA_DRIVER_CAPABILITIES NVIDIA_REQUIRE_CUDA": (
            "for the container runtime; on bare metal dsr1 check looks for the module itself"
        ),
        "DYN_TLS_CERT_PATH DYN_TLS_KEY_PATH": _TLS,
        "DYN_NAMESPACE DYN_COMPONENT DYN_ENDPOINT": f"{_OWN} namespace in Dynamo",
        "DYN_DISCOVERY_BACKEND DYN_FILE_KV ETCD_ENDPOINTS NATS_SERVER": f"{_OWN} discovery",
        "DYN_REQUEST_PLANE DYN_EVENT_PLANE DYN_TCP_RPC_HOST": "dsr1 sets Dynamo's planes",
        "DYN_TCP_RESPONSE_STREAM_HOST DYN_EVENT_PLANE_HOST DYN_HTTP_HOST": _FACTS,
        "DYN_PARENT_DGD_K8S_NAME DYN_PARENT_DGD_K8S_NAMESPACE DYNAMO_PORT": _POD,
        "DYN_ROUTER_RESET_STATES DYN_ROUTER_SNAPSHOT_THRESHOLD": _NATS,
        "DYN_ROUTER_DURABLE_KV_EVENTS DYN_DURABLE_KV_EVENTS": _NATS,
        " ".join(CACHE_FOLDERS): _CACHES,
        "POD_NAME POD_NAMESPACE POD_UID NODE_NAME HOSTNAME": _POD,
        "HOME USER LOGNAME SHELL PWD OLDPWD TERM TMPDIR TMP TEMP MPLCONFIGDIR": _PATHS,
        "XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR": _PATHS,
        "CUDA_HOME CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDA_INSTALL_PATH CUDNN_PATH": _PATHS,
        "LIBRARY_PATH LD_RUN_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH PKG_CONFIG_PATH": _PATHS,
        "VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONUSERBASE UV_CACHE_DIR PIP_CACHE_DIR": _PATHS,
        "NCCL_HOME NCCL_ROOT NVSHMEM_HOME NVSHMEM_DIR NVSHMEM_ROOT UCX_HOME UCX_DIR": _PATHS,
        "UCX_MODULE_DIR NIXL_PREFIX NIXL_PLUGIN_DIR GDRCOPY_HOME MPI_HOME OPAL_PREFIX": _PATHS,
        "CARGO_HOME RUSTUP_HOME GOPATH JAVA_HOME DYNAMO_HOME VLLM_HOME HPCX_DIR": _PATHS,
    }
)
"""Variables that dsr1 sets, or that only a container has."""

FLAGS: Mapping[str, str] = _by_name(
    {
        "data-parallel-address data-parallel-rpc-port data-parallel-start-rank": _OWN,
        "nnodes node-rank master-addr master-port namespace-prefix router-replica-sync": _OWN,
        "namespace endpoint discovery-backend request-plane event-plane": _OWN,
        "data-parallel-backend distributed-executor-backend": (
            "dsr1 starts every rank itself, without Ray"
        ),
        "router-reset-states router-snapshot-threshold": _NATS,
        "durable-kv-events router-durable-kv-events": _NATS,
        "enable-elastic-ep elastic-ep-max-dp-size": _ELASTIC,
        "tls-cert-path tls-key-path ssl-certfile ssl-keyfile": _TLS,
        "api-key": "a secret, which is not copied; frontend.api_key_file names a file with it",
        "hf-token": "a secret, which is not copied into a recipe; set HF_TOKEN on the hosts",
    }
)
"""Flags that dsr1 places itself."""
