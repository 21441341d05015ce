"""What must outlive a restart: files and one database on a disk that may fill up, break or lose its power at any moment."""
