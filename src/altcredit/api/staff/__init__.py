"""The staff sign-in: its pages, its JSON, and the credential that every route of the admin listener asks for."""
