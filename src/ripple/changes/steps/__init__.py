"""What each step of the flow does. A step reads rows and files, acts at the edge, and hands back what it saw."""
