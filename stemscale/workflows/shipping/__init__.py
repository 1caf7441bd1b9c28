"""Seeds come in; the filters that come with the package go out: ``python -m ... --help``.

Needs a checkout: the pictures in ``scenes`` are not installed.
"""
