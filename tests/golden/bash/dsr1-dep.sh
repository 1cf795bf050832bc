#!/bin/bash
# golden: 4 processes of the recipe dsr1-dep, rendered by dsr1.
#   bash run.sh --certificates    first, on one host; each needs the same /run/golden/secrets
#   ETCD=/path/of/etcd            for node1, where etcd isn't on PATH
#   bash run.sh HOST              its part, on each host: node1 node2; default: by its own name
#   bash run.sh --process main-1  one alone, in sight
# Ctrl-C ends all that it started, and so does the end of any of that; of other hosts it sees nothing.
# Logs: /run/golden/hosts/HOST/PROCESS.log, anew with every start.
# http://10.0.0.1:8000/v1 serves once every worker has registered.
# note: node1, node2: planned without facts; what follows from their adapters is left out
# note: frontend: plain HTTP, so prompts and answers cross the network in clear, and nobody is asked for a key unless frontend.api_key_file is set; frontend.tls, or a proxy in front (`dsr1 render --nginx`), closes it
# shellcheck disable=SC2016,SC2329
set -euo pipefail
folder=/run/golden
grace=10 # seconds
names=DNS:dsr1-run,IP:10.0.0.1,IP:10.0.0.2 # in the certificate

become() { # one process, in the place of this shell
    case $1 in
    etcd)
        enter hosts/node1
        etcd=$(command -v "${ETCD:-etcd}") || fail "wanted: etcd on PATH, or ETCD=/path/of/etcd"
        ln -sf "$etcd" ../../etcd-3.5.1
        export DSR1_RUN_ID=00000000000000000000000000000000 # the run's identity
        export ETCD_CERT_FILE=$folder/secrets/tls.pem
        export ETCD_KEY_FILE=$folder/secrets/tls.key
        export ETCD_TRUSTED_CA_FILE=$folder/secrets/ca.pem
        export ETCD_PEER_CERT_FILE=$folder/secrets/tls.pem
        export ETCD_PEER_KEY_FILE=$folder/secrets/tls.key
        export ETCD_PEER_TRUSTED_CA_FILE=$folder/secrets/ca.pem
        exec ../../etcd-3.5.1 \
            --name dsr1 \
            --data-dir etcd-data \
            --listen-client-urls https://10.0.0.1:20000 \
            --advertise-client-urls https://10.0.0.1:20000 \
            --listen-peer-urls https://10.0.0.1:20001 \
            --initial-advertise-peer-urls https://10.0.0.1:20001 \
            --initial-cluster dsr1=https://10.0.0.1:20001 \
            --heartbeat-interval 50 \
            --election-timeout 250 \
            --client-cert-auth \
            --peer-client-cert-auth
        ;;
    frontend)
        enter hosts/node1
        export DSR1_RUN_ID=00000000000000000000000000000000 # the run's identity
        export DYN_DISCOVERY_BACKEND=etcd # etcd on node1
        export DYN_EVENT_PLANE=zmq # default, set since it differs between Dynamo's parts
        export DYN_EVENT_PLANE_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_NAMESPACE=golden_00000000000000000000000000000000 # the run's own: stale registrations can't be met
        export DYN_REQUEST_PLANE=tcp # default
        export DYN_SDK_DISABLE_ANSI_LOGGING=1 # default
        export DYN_SELF_HOST_METADATA=0 # frontends read the model's files on their own hosts
        export DYN_SYSTEM_HOST=127.0.0.1 # its control routes ask nobody who he is
        export DYN_TCP_RESPONSE_STREAM_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_TCP_RPC_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_TCP_TLS_SERVER_NAME=dsr1-run # name in the run's certificate
        export ETCD_ENDPOINTS=https://10.0.0.1:20000 # etcd on node1
        export ETCD_LEASE_TTL=6 # etcd on node1
        export GLOO_SOCKET_IFNAME=eth1 # interface of 10.0.0.1 (facts)
        export NCCL_SOCKET_IFNAME='=eth1' # interface of 10.0.0.1 (facts)
        export NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME='=eth1' # interface of 10.0.0.1 (facts)
        export PYTHONFAULTHANDLER=1 # default
        export PYTHONHASHSEED=0 # default
        export PYTHONUNBUFFERED=1 # default
        export TP_SOCKET_IFNAME=eth1 # interface of 10.0.0.1 (facts)
        export VLLM_HOST_IP=10.0.0.1 # address of node1 (facts)
        export VLLM_NIXL_SIDE_CHANNEL_HOST=10.0.0.1 # address of node1 (facts)
        export VLLM_NO_USAGE_STATS=1 # default
        export VLLM_RANDOMIZE_DP_DUMMY_INPUTS=1 # default
        ETCD_AUTH_CA=$(<"$folder/secrets/ca.pem")
        export ETCD_AUTH_CA
        ETCD_AUTH_CLIENT_CERT=$(<"$folder/secrets/tls.pem")
        export ETCD_AUTH_CLIENT_CERT
        ETCD_AUTH_CLIENT_KEY=$(<"$folder/secrets/tls.key")
        export ETCD_AUTH_CLIENT_KEY
        export DYN_TCP_TLS_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CA_CERT_PATH=$folder/secrets/ca.pem
        export DYN_TCP_TLS_CLIENT_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_CLIENT_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CLIENT_CA_CERT_PATH=$folder/secrets/ca.pem
        exec python3 -m dynamo.frontend \
            --http-host 10.0.0.1 \
            --http-port 8000 \
            --router-mode kv
        ;;
    main-0)
        enter hosts/node1
        export DSR1_RUN_ID=00000000000000000000000000000000 # the run's identity
        export DYN_CANARY_WAIT_TIME=10 # recipe health
        export DYN_DISCOVERY_BACKEND=etcd # etcd on node1
        export DYN_EVENT_PLANE=zmq # default, set since it differs between Dynamo's parts
        export DYN_EVENT_PLANE_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_HEALTH_CHECK_ENABLED=true # recipe health
        export DYN_HEALTH_CHECK_REQUEST_TIMEOUT=10 # recipe health
        export DYN_NAMESPACE=golden_00000000000000000000000000000000 # the run's own: stale registrations can't be met
        export DYN_REQUEST_PLANE=tcp # default
        export DYN_SDK_DISABLE_ANSI_LOGGING=1 # default
        export DYN_SELF_HOST_METADATA=0 # frontends read the model's files on their own hosts
        export DYN_SYSTEM_HOST=127.0.0.1 # its control routes ask nobody who he is
        export DYN_SYSTEM_PORT=20003 # ports of engine main
        export DYN_TCP_RESPONSE_STREAM_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_TCP_RPC_HOST=10.0.0.1 # address of node1 (facts)
        export DYN_TCP_TLS_SERVER_NAME=dsr1-run # name in the run's certificate
        export ETCD_ENDPOINTS=https://10.0.0.1:20000 # etcd on node1
        export ETCD_LEASE_TTL=6 # etcd on node1
        export GLOO_SOCKET_IFNAME=eth1 # interface of 10.0.0.1 (facts)
        export NCCL_SOCKET_IFNAME='=eth1' # interface of 10.0.0.1 (facts)
        export NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME='=eth1' # interface of 10.0.0.1 (facts)
        export NVSHMEM_QP_DEPTH=1024 # 2 * (256 tokens + 1), as a power of two
        export PYTHONFAULTHANDLER=1 # default
        export PYTHONHASHSEED=0 # default
        export PYTHONUNBUFFERED=1 # default
        export TP_SOCKET_IFNAME=eth1 # interface of 10.0.0.1 (facts)
        export VLLM_ENGINE_READY_TIMEOUT_S=5400 # recipe timeouts.ready
        export VLLM_HOST_IP=10.0.0.1 # address of node1 (facts)
        export VLLM_NIXL_SIDE_CHANNEL_HOST=10.0.0.1 # address of node1 (facts)
        export VLLM_NO_USAGE_STATS=1 # default
        export VLLM_PORT=20027 # ports of engine main, to 20034
        export VLLM_RANDOMIZE_DP_DUMMY_INPUTS=1 # default
        ETCD_AUTH_CA=$(<"$folder/secrets/ca.pem")
        export ETCD_AUTH_CA
        ETCD_AUTH_CLIENT_CERT=$(<"$folder/secrets/tls.pem")
        export ETCD_AUTH_CLIENT_CERT
        ETCD_AUTH_CLIENT_KEY=$(<"$folder/secrets/tls.key")
        export ETCD_AUTH_CLIENT_KEY
        export DYN_TCP_TLS_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CA_CERT_PATH=$folder/secrets/ca.pem
        export DYN_TCP_TLS_CLIENT_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_CLIENT_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CLIENT_CA_CERT_PATH=$folder/secrets/ca.pem
        exec python3 -m dynamo.vllm \
            --model deepseek-ai/DeepSeek-R1 \
            --served-model-name deepseek-ai/DeepSeek-R1 \
            --data-parallel-size 16 \
            --data-parallel-hybrid-lb \
            --data-parallel-size-local 8 \
            --data-parallel-start-rank 0 \
            --data-parallel-address 10.0.0.1 \
            --data-parallel-rpc-port 20002 \
            --enable-expert-parallel \
            --all2all-backend deepep_low_latency \
            --moe-backend deep_gemm \
            --max-model-len 32768 \
            --max-num-seqs 64 \
            --max-num-batched-tokens 256 \
            --gpu-memory-utilization 0.92 \
            --compilation-config '{"cudagraph_mode":"FULL_DECODE_ONLY"}' \
            --kv-events-config '{"enable_kv_cache_events":true,"publisher":"zmq","endpoint":"ipc://kv-events-as-by-tcp:20011"}' \
            --distributed-timeout-seconds 5400 \
            --cpu-distributed-timeout-seconds 5400 \
            --dyn-reasoning-parser deepseek_r1
        ;;
    main-1)
        enter hosts/node2
        export DSR1_RUN_ID=00000000000000000000000000000000 # the run's identity
        export DYN_CANARY_WAIT_TIME=10 # recipe health
        export DYN_DISCOVERY_BACKEND=etcd # etcd on node1
        export DYN_EVENT_PLANE=zmq # default, set since it differs between Dynamo's parts
        export DYN_EVENT_PLANE_HOST=10.0.0.2 # address of node2 (facts)
        export DYN_HEALTH_CHECK_ENABLED=true # recipe health
        export DYN_HEALTH_CHECK_REQUEST_TIMEOUT=10 # recipe health
        export DYN_NAMESPACE=golden_00000000000000000000000000000000 # the run's own: stale registrations can't be met
        export DYN_REQUEST_PLANE=tcp # default
        export DYN_SDK_DISABLE_ANSI_LOGGING=1 # default
        export DYN_SELF_HOST_METADATA=0 # frontends read the model's files on their own hosts
        export DYN_SYSTEM_HOST=127.0.0.1 # its control routes ask nobody who he is
        export DYN_SYSTEM_PORT=20003 # ports of engine main
        export DYN_TCP_RESPONSE_STREAM_HOST=10.0.0.2 # address of node2 (facts)
        export DYN_TCP_RPC_HOST=10.0.0.2 # address of node2 (facts)
        export DYN_TCP_TLS_SERVER_NAME=dsr1-run # name in the run's certificate
        export ETCD_ENDPOINTS=https://10.0.0.1:20000 # etcd on node1
        export ETCD_LEASE_TTL=6 # etcd on node1
        export GLOO_SOCKET_IFNAME=eth2 # interface of 10.0.0.2 (facts)
        export NCCL_SOCKET_IFNAME='=eth2' # interface of 10.0.0.2 (facts)
        export NVSHMEM_BOOTSTRAP_UID_SOCK_IFNAME='=eth2' # interface of 10.0.0.2 (facts)
        export NVSHMEM_QP_DEPTH=1024 # 2 * (256 tokens + 1), as a power of two
        export PYTHONFAULTHANDLER=1 # default
        export PYTHONHASHSEED=0 # default
        export PYTHONUNBUFFERED=1 # default
        export TP_SOCKET_IFNAME=eth2 # interface of 10.0.0.2 (facts)
        export VLLM_ENGINE_READY_TIMEOUT_S=5400 # recipe timeouts.ready
        export VLLM_HOST_IP=10.0.0.2 # address of node2 (facts)
        export VLLM_NIXL_SIDE_CHANNEL_HOST=10.0.0.2 # address of node2 (facts)
        export VLLM_NO_USAGE_STATS=1 # default
        export VLLM_PORT=20027 # ports of engine main, to 20034
        export VLLM_RANDOMIZE_DP_DUMMY_INPUTS=1 # default
        ETCD_AUTH_CA=$(<"$folder/secrets/ca.pem")
        export ETCD_AUTH_CA
        ETCD_AUTH_CLIENT_CERT=$(<"$folder/secrets/tls.pem")
        export ETCD_AUTH_CLIENT_CERT
        ETCD_AUTH_CLIENT_KEY=$(<"$folder/secrets/tls.key")
        export ETCD_AUTH_CLIENT_KEY
        export DYN_TCP_TLS_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CA_CERT_PATH=$folder/secrets/ca.pem
        export DYN_TCP_TLS_CLIENT_CERT_PATH=$folder/secrets/tls.pem
        export DYN_TCP_TLS_CLIENT_KEY_PATH=$folder/secrets/tls.key
        export DYN_TCP_TLS_CLIENT_CA_CERT_PATH=$folder/secrets/ca.pem
        exec python3 -m dynamo.vllm \
            --model deepseek-ai/DeepSeek-R1 \
            --served-model-name deepseek-ai/DeepSeek-R1 \
            --data-parallel-size 16 \
            --data-parallel-hybrid-lb \
            --data-parallel-size-local 8 \
            --data-parallel-start-rank 8 \
            --data-parallel-address 10.0.0.1 \
            --data-parallel-rpc-port 20002 \
            --enable-expert-parallel \
            --all2all-backend deepep_low_latency \
            --moe-backend deep_gemm \
            --max-model-len 32768 \
            --max-num-seqs 64 \
            --max-num-batched-tokens 256 \
            --gpu-memory-utilization 0.92 \
            --compilation-config '{"cudagraph_mode":"FULL_DECODE_ONLY"}' \
            --kv-events-config '{"enable_kv_cache_events":true,"publisher":"zmq","endpoint":"ipc://kv-events-as-by-tcp:20011"}' \
            --distributed-timeout-seconds 5400 \
            --cpu-distributed-timeout-seconds 5400 \
            --dyn-reasoning-parser deepseek_r1
        ;;
    *) fail "no process '$1', there are: etcd frontend main-0 main-1" ;;
    esac
}

begin() { # what runs on a host, in the order of its start
    case $1 in
    node1 | node1.*)
        fresh hosts/node1
        start hosts/node1 etcd
        await 10.0.0.1 20000 # etcd
        start hosts/node1 frontend
        start hosts/node1 main-0
        ;;
    node2 | node2.*)
        fresh hosts/node2
        await 10.0.0.1 20000 # etcd
        start hosts/node2 main-1
        ;;
    *) fail "no host '$1', there are: node1 node2" ;;
    esac
}

fail() {
    echo "$(basename "$script"): $*" >&2
    exit 2
}

fresh() { # a folder, without what an earlier start left
    rm -rf -- "${folder:?}/$1"
    mkdir -p "$folder/$1"
}

enter() {
    mkdir -p "$folder/$1"
    cd "$folder/$1"
}

start() { # a process, in a session of its own
    echo "start $2"
    (trap - INT QUIT && exec setsid bash "$script" --process "$2") </dev/null >"$folder/$1/$2.log" 2>&1 9>&- &
    logs[$!]=$folder/$1/$2.log
}

await() { # until something accepts connections there
    until timeout 2 bash -c '>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; do
        check
        sleep 0.2
    done
    sleep 1 # etcd listens half a second before it serves
}

check() { # nothing has ended; else it is told, and everything ends
    local pid code
    for pid in "${!logs[@]}"; do
        kill -0 "$pid" 2>/dev/null && continue
        code=0
        wait "$pid" 2>/dev/null || code=$?
        echo "$(basename "${logs[$pid]}" .log) ended with exit code $code: ${logs[$pid]}" >&2
        tail -n 5 "${logs[$pid]}" >&2
        exit 1
    done
}

end() { # TERM to all, and KILL to what is left after a while
    trap '' INT TERM HUP
    tell TERM || return 0
    gone "$grace" && return
    tell KILL
    gone 5 || echo "something still runs of: ${logs[*]}" >&2
}

gone() { # within so many seconds
    local until=$((SECONDS + $1))
    while tell 0; do
        [ "$SECONDS" -le "$until" ] || return 1
        sleep 0.1
    done
}

tell() { # a signal to every process's group, or, before it has one, to itself; whether any was there
    local pid told=1
    for pid in $(jobs -p) "${!logs[@]}"; do
        kill "-$1" -- "-$pid" 2>/dev/null || kill "-$1" "$pid" 2>/dev/null || continue
        told=0
    done
    return "$told"
}

certify() { # an authority, whose key is thrown away, and one certificate for every process
    [ -n "$names" ] || fail "one machine needs no certificates"
    enter secrets
    openssl req -x509 -days 3650 -subj "/CN=dsr1 run authority" "${key[@]}" -keyout ca.key -out ca.pem -extensions ca \
        -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n')
    openssl req -subj "/CN=dsr1-run" "${key[@]}" -keyout tls.key -out tls.csr
    openssl x509 -req -days 3650 -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tls.pem \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$names")
    rm ca.key tls.csr ca.srl
}

main() { # a host's part, until it ends
    local host=$1
    mkdir -p "$folder"
    [ -z "$names" ] || [ -r "$folder/secrets/tls.key" ] || fail "no $folder/secrets: --certificates makes them"
    exec 9>"$folder/lock-$host"
    flock -n 9 || fail "what it starts on $host runs already"
    trap end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    begin "$host"
    while check; do
        sleep 1
    done
}

script=$(realpath "$0")
key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
declare -A logs=()
umask 077
case ${1-} in
--process) become "${2-}" ;;
--certificates) certify ;;
-*) fail "no option $1, the head of this file has them" ;;
*) main "${1:-$HOSTNAME}" ;;
esac
