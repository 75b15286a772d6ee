"""Whether mTLS is in force: policies, clients, proxies, certificates and live probes, judged port by port."""
