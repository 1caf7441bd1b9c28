"""A store comes in; a page to look at its frames with, served to a browser on this machine.

Frames are read one by one as they are looked at, and nothing is written.
"""

from stemscale.viewer.serve import view

__all__ = ["view"]
