"""Automatic1111's WebUI over /sdapi/v1, and those that speak as it does."""
