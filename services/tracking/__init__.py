"""MLflow as a projection of the ledger: one experiment a study, in it its run, and nested in that one run a trial.

MLflow is never read as truth: all it holds can be rebuilt from the ledger and the trial directories,
and what is still missing there is found by looking at it, so there is no cursor of ours to lose.

    store.py       which MLflow, and how to open it       mirror.py     the thread that keeps it up to date
    projection.py  a trial as params, metrics and tags    projector.py  brings it up to date, trial by trial
    runs.py        the runs of one study, up to date      rebuild.py    the same from nothing
    plots.py       learning curve, confusion matrix       audit.py      where ledger and MLflow disagree
    pyfunc.py      the exported ensemble as a model       champion.py   which is in the registry, with its aliases
    experiment.py  what an experiment says and shows      run_links.py  where MLflow shows a study and its trials
    relocation.py  a home that was moved or copied        artifact_links.py  where its MLflow looks for artifacts
    own_experiment.py  which experiment is a study's, where homes share a server
"""

from convscout.services.tracking.environment import prepare_client

prepare_client()
