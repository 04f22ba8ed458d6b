"""What a trial leaves on disk, whole whenever its process dies."""
