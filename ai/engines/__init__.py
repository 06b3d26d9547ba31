"""Adapters, one module for each kind of image maker."""
