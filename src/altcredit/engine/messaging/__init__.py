"""WhatsApp: what is received, what is sent, one-time codes."""
