"""What convscout asks of the operating system: files, locks, signals, processes."""
