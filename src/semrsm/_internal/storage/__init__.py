"""What the library does to a disk: files and folders made aside and renamed, and locks."""
