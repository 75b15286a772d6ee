"""What a mesh must pass: the proof of mTLS, and the checks of a control plane."""
