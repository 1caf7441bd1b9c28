"""Refuse numbers that make no sense, by name and value."""

from stemscale.errors import SettingsError


def check_positive(name: str, value: float) -> None:
    """Refuse what is not above 0."""
    if not 0 < value < float("inf"):
        raise SettingsError(f"{name} is {value:g}, but must be a positive number")


def check_not_negative(name: str, value: float) -> None:
    """Refuse what is below 0."""
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {value:g}, but must be 0 or a positive number")


def check_share(name: str, value: float) -> None:
    """Refuse what is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise SettingsError(f"{name} is {value:g}, but a share lies between 0 and 1")


def check_at_most(name: str, value: float, highest: float) -> None:
    """Refuse what is above ``highest``."""
    if not value <= highest:
        raise SettingsError(f"{name} is {value:g}, but must be at most {highest:g}")


def check_ascending(name: str, values: tuple[float, float], *, lowest: float) -> None:
    """Refuse what is not a range (low, high) from ``lowest`` upwards."""
    low, high = values
    if not lowest <= low <= high < float("inf"):
        raise SettingsError(
            f"{name} is {low:g} to {high:g}, but must be a range from {lowest:g} upwards"
        )
