"""The paper's study on frames with a known truth, by the commands that a user types."""
