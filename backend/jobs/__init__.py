"""Jobs: what users see of a generation, from its acceptance to its end, through restarts."""
