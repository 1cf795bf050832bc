"""Rules: sockets, collectives and transfers."""

from dsr1.launcher.triage.rules import ITSELF, PEER_GONE, WAITING, Rule

LOOK = "look at the peer that it names"

RULES = (
    Rule(
        "net.port_taken",
        ITSELF,
        "EADDRINUSE",
        "",
        "a port that it wanted was taken",
        "start again; fixed ports: --set ports.base=NUMBER",
        "torch 2.13, TCPStore",
    ),
    Rule(
        "net.port_in_use",
        ITSELF,
        "ddress already in use",
        "",
        "a port that it wanted was taken",
        "ss -tlnp names who has it; --set ports.base=NUMBER",
        "Python, Rust and ZMQ",
    ),
    Rule(
        "gloo.peer_closed",
        PEER_GONE,
        "Connection closed by peer [",
        "",
        "its peer closed the connection",
        LOOK,
        "gloo, transport/tcp/pair.cc",
    ),
    Rule(
        "gloo.peer_reset",
        PEER_GONE,
        "Read error [",
        "",
        "its peer reset the connection",
        LOOK,
        "gloo, transport/tcp/pair.cc",
    ),
    Rule(
        "nccl.watchdog",
        WAITING,
        "Watchdog caught collective operation timeout",
        "",
        "a collective timed out: somebody did not come",
        "the stacks of all ranks tell which one hangs",
        "torch, ProcessGroupNCCL.cpp",
    ),
    Rule(
        "torch.store_lost",
        PEER_GONE,
        "recvValue failed",
        "",
        "the process that keeps the store went",
        LOOK,
        "torch, TCPStore",
    ),
)
