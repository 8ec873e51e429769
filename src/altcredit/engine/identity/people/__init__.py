"""Staff: single sign-on, then a hardware key, then a session of 15 minutes. Exported by ``identity``."""
