"""Makes a mesh of a snapshot, compares it with what it was, and takes it away again where it was a drill; writes through the pipeline."""
