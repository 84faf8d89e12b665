"""Data to text: what each answer of the bot shows. No I/O."""
