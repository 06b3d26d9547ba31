"""The embedded engine: OpenVINO on this machine's processor."""
