"""The documents that steps hand to each other: for each its file name, its schema and its fields, said once.

`kinds` says what a kind of document is and how it is read and written; the other modules list the documents of one part
of the pipeline. The fields are a TypedDict, so mypy finds a wrong key, and a document on disk is just its JSON.
"""
