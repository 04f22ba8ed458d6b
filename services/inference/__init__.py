"""An exported ensemble applied to pictures and to labelled data."""
