"""Which of the listed workers are the run's."""

from dsr1.launcher.serving import generate_workers


def test_other_namespaces_and_endpoints_do_not_count() -> None:
    instances = [
        {"endpoint": "generate", "namespace": "mine", "instance_id": 2, "component": "prefill"},
        {"endpoint": "generate", "namespace": "mine", "instance_id": 1, "component": "backend"},
        {"endpoint": "generate", "namespace": "mine_1", "instance_id": 3},
        {"endpoint": "clear_kv_blocks", "namespace": "mine", "instance_id": 1},
    ]
    assert generate_workers({"instances": instances}, "mine") == {1: "backend", 2: "prefill"}
    assert generate_workers({}, "mine") == {}
