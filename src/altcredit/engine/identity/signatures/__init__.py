"""What takes two people of the staff. Exported by ``identity``."""
