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
