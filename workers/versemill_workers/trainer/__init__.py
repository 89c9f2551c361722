"""The process that trains, and the messages it exchanges with its supervisor."""
