"""What a Prometheus and a Grafana need to watch a run: targets, rules, a dashboard. Pure."""
