"""What people read: pages, the model card, and the templates that they are rendered with.

Imports the ground and `data` (which images a model was made with). It decides nothing and measures nothing.
"""
