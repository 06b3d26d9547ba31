"""What people would use instead of Sluice, set up as they would."""
