"""Files of a snapshot, signatures of them, and what seals an authority in one."""
