"""Text: corpora, their files and encodings, and the split into training and held-out parts."""
