"""Safe writes to disk: files and folders that are renamed when they are complete, and locks."""
