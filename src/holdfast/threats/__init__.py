"""What an attacker may do: spaces, threats, regions, goals."""
