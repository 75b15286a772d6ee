"""The two referees: the real istiod, which tells what a mesh's proxies are sent, and a real Envoy, which shows what it makes of it.

``Plane`` is istiod before an API server without nodes; ``Proxy`` is one pod's Envoy in a network of its own, where every address of
the world is answered and looked at.
"""
