"""HTTP: the published APIs, each route declared once."""
