"""Who asks the service: its token, sessions of browsers, and attempts to sign in."""
