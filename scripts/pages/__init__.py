"""One module a generated page; each yields the page's lines in the language in use."""
