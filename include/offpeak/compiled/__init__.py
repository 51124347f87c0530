"""Typed JSON: many objects of one known kind, read into Arrow columns by a small compiled reader."""
