"""From files and flags to what a mesh should look like; reads files, knows no cluster."""
