"""Parse, call, render. No logic lives here."""
