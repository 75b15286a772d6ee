"""Times meshinstall against helm, helmfile and istioctl, in turns, in one run.

Only ratios of the same run mean anything: the machine's speed drifts.
"""
