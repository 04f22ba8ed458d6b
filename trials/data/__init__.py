"""Images and labels: sources, splits, the cache of decoded images, batches."""
