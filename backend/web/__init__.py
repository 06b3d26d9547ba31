"""The page to try it: one self-contained answer, for a browser that comes to /."""
