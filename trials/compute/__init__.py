"""What a trial computes on: number format, threads, seeds, memory."""
