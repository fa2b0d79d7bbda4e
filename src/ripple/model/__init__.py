"""Typed, frozen nouns shared by every room. No IO; imports nothing of ours."""
