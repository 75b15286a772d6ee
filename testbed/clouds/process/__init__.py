"""A fake cloud as a process of the cluster that belongs to it: it answers as long as the cluster lives, and ends with it."""
