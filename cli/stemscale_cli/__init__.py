"""The command ``stemscale``: reads options, calls one library function, prints."""
