"""A running mesh as facts, whoever installed it: control planes, proxies, pods, webhooks, authorities; reads only."""
