"""What both servers share, that of one model and that of the studies: listening, refusals, counting."""
