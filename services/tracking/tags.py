"""What the runs of a study are found by in MLflow: the names of their tags."""

STUDY_TAG, TRIAL_TAG, TERMINAL_TAG = "convscout.study", "convscout.trial", "convscout.terminal"
HOME_TAG = "convscout.home"  # the identity of the home
PLOTS_TAG = "convscout.plots"  # what the study's plots show
