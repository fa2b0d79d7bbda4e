"""The change flow: the main job, from an operator's words to production."""
