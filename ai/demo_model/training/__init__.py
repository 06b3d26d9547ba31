"""How the demo checkpoint was made: nothing here is needed to run it."""
