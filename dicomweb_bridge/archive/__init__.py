"""Where pixels live: the archive port and its adapters."""
