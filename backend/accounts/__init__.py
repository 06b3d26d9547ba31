"""Who may ask: API keys, what each allows, and how much work a caller may have done."""
