"""The shell of every page: live values, charts, theme. It knows core's words and no application."""
