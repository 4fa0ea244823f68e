"""One module for each revision. What stands here never changes: logs were made by it."""
