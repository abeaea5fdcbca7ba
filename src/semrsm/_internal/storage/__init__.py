"""Storage: files and folders that are made aside and renamed, and locks."""
