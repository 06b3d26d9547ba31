"""Adapters, one package for each kind of image maker."""
