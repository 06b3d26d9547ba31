"""Keeping images, each under a UUID."""
