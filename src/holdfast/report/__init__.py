"""Run folders as pages for people: HTML, Markdown, CSV, terminal text, and the value `Run` in Python."""
