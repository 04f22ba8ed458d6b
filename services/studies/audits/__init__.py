"""Audits: what may be wrong with a study, one part of it a file. They read and never write."""
