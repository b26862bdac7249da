"""What people have (images, rows of a table, sentences) as a request's bytes, and an answer's bytes as what they mean.

For clients only: a request is its bytes, and no id and no verdict depends on how somebody made or reads them.
"""
