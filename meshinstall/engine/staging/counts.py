"""Keeps what the gates of a run counted, and tells it: proxies where they changed, requests of each gate."""

from collections.abc import Collection
from dataclasses import replace

from meshinstall.engine.events import Emit, ProxiesCounted, RequestsMade
from meshinstall.engine.gates.counting import proxy_tally, questions
from meshinstall.model.gate import Snapshot
from meshinstall.model.tally import Counted, Requests


class Counts:
    """``so_far`` is what was counted from the start of the run."""

    def __init__(self) -> None:
        self.so_far = Counted()
        self._untold = Requests()
        self._told = self.so_far.proxies
        self._named: set[str] = set()

    def add(self, seen: Snapshot, switched_off: Collection[str] = ()) -> Snapshot:
        """Count what a look saw and asked, but for injectors that are ``switched_off``; it is told with ``tell``."""
        requests = seen.requests + questions(seen.webhooks, switched_off)
        self.so_far = Counted(proxy_tally(seen), self.so_far.requests + requests)
        self._untold += requests
        return seen

    def tell(self, emit: Emit) -> None:
        """Tell what is new; nothing after a gate that did not look."""
        proxies, requests = self.so_far.proxies, self._untold
        if proxies and not proxies.is_like(self._told):
            self._told = proxies
            emit(ProxiesCounted(proxies))
        if requests.asked:
            new = tuple(one for one in requests.failures if one not in self._named)
            self._named.update(new)
            self._untold = Requests()
            emit(RequestsMade(replace(requests, failures=new), replace(self.so_far.requests, failures=())))
