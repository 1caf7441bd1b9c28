"""A series of a store comes in; a movie of its frames, raw and filtered side by side, goes out."""

from stemscale.movies.movie import Movie, MovieProgress, movie

__all__ = ["Movie", "MovieProgress", "movie"]
