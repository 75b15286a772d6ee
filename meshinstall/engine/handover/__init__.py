"""What is left to do until somebody else keeps a mesh: pure judgments of what was seen, and their reader."""
