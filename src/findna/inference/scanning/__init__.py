"""A genome read window by window, into tracks."""
