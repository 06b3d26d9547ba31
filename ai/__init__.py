"""Making images. Knows nothing of the web, of jobs or of where pictures are kept."""
