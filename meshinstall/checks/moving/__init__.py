"""What a stage of an upgrade moved, before and after it; pure."""
