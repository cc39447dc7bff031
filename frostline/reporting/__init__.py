"""What people read: pages, the model card, and their templates.

Imports the ground and `data` (which images a model was made with). It decides nothing and measures nothing.
"""
