"""Small synthetic images for the tests of quality."""

import numpy as np


def dislocations(size=256, *, seed=0, lines=14):
    """Dark curved lines, 4-8 px wide, in all directions on a background of 0."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size].astype(float)
    image = np.zeros((size, size))
    for _ in range(lines):
        angle, bow = rng.uniform(0, np.pi), rng.normal(0, 1 / size)
        x0, y0 = rng.uniform(0, size, 2)
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = -(x - x0) * np.sin(angle) + (y - y0) * np.cos(angle) - bow * along**2
        half_length = rng.uniform(0.1, 0.4) * size
        profile = np.exp(-0.5 * (across / rng.uniform(2, 4)) ** 2)
        image -= rng.uniform(0.3, 1) * profile / (1 + np.exp((abs(along) - half_length) / 3))
    return image


def exponential_tail(tau_px, length=200):
    """h(k) = (1 - e^(-1/tau)) e^(-k/tau) for k = 0, 1, …"""
    k = np.arange(length)
    return (1 - np.exp(-1 / tau_px)) * np.exp(-k / tau_px)


def lagged(image, response):
    """Convolve every line with a response from k = 0 on; before the line, its mirror image."""
    padded = np.pad(image, ((0, 0), (len(response), 0)), mode="reflect")
    return np.stack([np.convolve(line, response)[len(response) : len(line)] for line in padded])


def smooth_background(size):
    y, x = np.mgrid[:size, :size] / size
    return 0.7 * np.cos(2 * x + y) + y**2
